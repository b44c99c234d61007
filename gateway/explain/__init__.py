"""What becomes of a request and why, step by step: the functions that decide, with what each found and expected."""
