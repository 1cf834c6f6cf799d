"""One run on disk: reading, writing, finding; its evidence; the model store."""
