"""What the original (Keras 2.3.1, TensorFlow 1.15) left behind: its weight files and its configurations."""
