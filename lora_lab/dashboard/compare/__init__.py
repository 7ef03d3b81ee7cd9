"""Every run beside every other: which setting matters, and is the difference measurable?"""
