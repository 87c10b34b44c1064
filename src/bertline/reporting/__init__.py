"""The look of the HTML pages: one template, one style sheet, one environment."""
