"""The library: one module per command, with the name of the command.

    from fourtuple.verbs.hold import hold

    for sample in hold(1000, ["127.0.0.1:8000"]): ...          # watch a run in progress
    record = hold(1000, ["127.0.0.1:8000"]).finish()          # or wait for its end

Import only the module that you need: during an incident, `limits` must not wait for modules that only `hold` uses.
"""
