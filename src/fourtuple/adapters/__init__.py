"""Client libraries with a keyword `sources`: one module a library, its classes under their own names."""
