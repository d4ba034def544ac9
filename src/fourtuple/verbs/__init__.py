"""The library: one module for each command, named as the command is.

    from fourtuple.verbs.hold import hold

    for sample in hold(1000, ["127.0.0.1:8000"]): ...          # watch a run while it goes on
    record = hold(1000, ["127.0.0.1:8000"]).finish()          # or wait for its end

Import from the module that you need: in an incident `limits` must not wait for what only `hold` needs.
"""
