"""The words of the field and their rules: numbers, dates, people, requests, answers. Standard library only."""
