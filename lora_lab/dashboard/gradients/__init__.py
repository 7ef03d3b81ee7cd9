"""A derivation before its three referees, with numbers and mistakes of one's choice."""
