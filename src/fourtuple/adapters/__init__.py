"""Client libraries with an additional parameter `sources`: one module per library, with the library's class names."""
