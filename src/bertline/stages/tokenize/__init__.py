"""Stage `tokenize`: turn texts into token ids."""
