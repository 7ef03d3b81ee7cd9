"""Checks for the notebooks' exercises: each one names the mistake instead of saying "wrong".

    check_scores(scores)         # the last line of a cell; shows a Verdict

One module for the exercises of each notebook (two for notebook 4, which has the longest);
``checking`` holds what they are made of. To add one:

1. Write ``@check def check_something(answer): ...`` that returns a sentence for who solved it.
2. Take the learner's values through ``attempt(function, ...)``, which turns an unfilled stub and
   an exception into a verdict, so that an unsolved notebook still runs from top to bottom.
3. Compare with ``expect(got, right, mistakes, where)``: ``mistakes`` maps what to say to the
   value that this mistake gives. Choose inputs on which no two mistakes agree.
4. Give the notebook's cases in tests/exercises/ the solution and at least three wrong answers, each
   with a piece of the text that it must get.
"""
