"""Why connections stop: the known causes, each with the evidence for and against it on a host, and the remedies.

Each cause weighs its evidence against a `Scene` (core/why/scene.py): what a text reports, and the state of a host. What
that host cannot observe counts neither for nor against a cause. One module for each subject.
"""

from collections.abc import Mapping
from types import MappingProxyType

from fourtuple.core.why.causes.files import FILES
from fourtuple.core.why.causes.memory import MEMORY
from fourtuple.core.why.causes.mqtt import MQTT
from fourtuple.core.why.causes.network import NETWORK
from fourtuple.core.why.causes.ports import PORTS
from fourtuple.core.why.causes.programs import PROGRAMS
from fourtuple.core.why.causes.queues import QUEUES
from fourtuple.core.why.causes.systems import SYSTEMS
from fourtuple.core.why.causes.tls import TLS
from fourtuple.core.why.causes.web import WEB
from fourtuple.core.why.scene import Cause, advised

# Of sessions: TCP had connected, so neither ports nor open files of this end are the reason.
SESSIONS: Mapping[str, Cause] = MappingProxyType({**TLS, **WEB, **MQTT})
CAUSES: Mapping[str, Cause] = MappingProxyType(
    {**PORTS, **FILES, **QUEUES, **MEMORY, **NETWORK, **PROGRAMS, **SYSTEMS, **SESSIONS}
)
# The settings that remedies advise: what is in force already is not advised.
ADVISED = frozenset(name for cause in CAUSES.values() for cure in cause.cures for name, _ in advised(cure))
