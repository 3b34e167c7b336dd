"""Batches for training: Keras sequences, NumPy iterators, `tf.data` and PyTorch datasets."""
