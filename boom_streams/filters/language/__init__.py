"""What a filter may say: operators, their cost, the fields that it reads, other dialects."""
