"""Which settings to begin with, what they will take here, and what that rests on."""
