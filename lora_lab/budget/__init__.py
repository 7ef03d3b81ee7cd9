"""What LoRA costs, counted without weights: parameters, memory, files; for any architecture."""
