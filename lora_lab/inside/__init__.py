"""What a trained update looks like and what it does."""
