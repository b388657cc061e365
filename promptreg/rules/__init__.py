"""Pure functions: values in, a decision or an error out. No clock, id, lock, query or template inside."""
