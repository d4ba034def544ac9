"""Examples in README.md and docs/: what a command prints, made by running it. `make examples` renews them.

Every fenced block without a language is the screen of a command. Where it begins with a prompt, `$ fourtuple …`, its
commands are typed into a shell, in a private network namespace and with an empty store. A comment above the block names
what is there before (places.py); `slow` leaves the block to `make examples`; a block that is a golden screen names it:

    <!-- example: redis -->      <!-- example: plain, slow -->      <!-- screen: live/hold-opening -->

A line `…` stands for lines that are left out. A test makes the blocks again and compares them (alike.py).
"""
