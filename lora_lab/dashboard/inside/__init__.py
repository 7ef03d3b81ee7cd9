"""What training has changed in the weights of one run, and what is left when it is cut."""
