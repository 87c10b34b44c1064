"""Stage `finetune`: fine-tune the encoder."""
