"""The pages of the evaluation: an HTML report, Markdown for a pull request, and three sentences."""
