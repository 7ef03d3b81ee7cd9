"""The command line ``lora-lab COMMAND``."""
