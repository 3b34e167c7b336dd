"""Arrays in .npz, .npy, HDF5 and MATLAB files."""
