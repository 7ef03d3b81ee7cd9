"""The mathematics: tensors in, tensors out, every closed form once.

Nothing here knows about modules, models or training. The layers call these functions in
their backward pass, the notebooks show them, and ``referees`` checks them.
"""
