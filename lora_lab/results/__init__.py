"""What finished runs say: tables, comparisons with intervals, verdicts."""
