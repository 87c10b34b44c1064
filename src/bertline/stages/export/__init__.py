"""Write the fine-tuned model as ONNX, and decide which file is served and when an answer is refused."""
