"""What models, data and files need everywhere; free of TensorFlow at import."""
