"""Training many models at once: in processes on the CPU, stacked on CUDA, within a memory budget."""
