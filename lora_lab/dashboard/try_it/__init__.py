"""Own sentences through base, rules, head-only and LoRA, side by side."""
