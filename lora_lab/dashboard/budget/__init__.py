"""What an adapter costs: parameters, bytes, memory, for any transformers configuration."""
