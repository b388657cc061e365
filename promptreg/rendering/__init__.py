"""The only rooms that know Jinja: template text in, text or an error of ours out."""
