"""How many clients a region takes: watches loads and moves intakes on, in steps that settle."""
