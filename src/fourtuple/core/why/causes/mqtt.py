"""Causes of MQTT sessions that a broker refuses or ends after TCP has connected, by its reason code.

Sources: MQTT Version 5.0, 2.4, 3.1.2.10 and 3.14; MQTT Version 3.1.1, 3.2.2.3; mosquitto.conf(5) of 2.0.
"""

from collections.abc import Mapping

from fourtuple.core.limits.cures import Cure, Needs
from fourtuple.core.why.scene import Cause

_BROKER_LOG = Cure("read the broker's log at that time")
_SLOWER = Cure("connect and publish more slowly (--rate, --every)", needs=Needs.SETTING)

MQTT: Mapping[str, Cause] = {
    "mqtt-login": Cause(
        "MQTT: the broker does not accept this client: a wrong user or password, no rights (ACL), or anonymous clients"
        " are not allowed, as is the default of mosquitto since 2.0",
        (
            Cure("give user and password; 134 (4) is about these, 135 (5) about rights", needs=Needs.SETTING),
            Cure("the broker's log says which rule; check its ACL for this user, client identifier and topic"),
            Cure(
                "allow_anonymous true with a listener in mosquitto.conf",
                "everyone who reaches the port may read and write",
                Needs.OTHERS,
            ),
        ),
    ),
    "mqtt-identifier": Cause(
        "MQTT: the broker does not accept the client identifier: empty, too long, with odd characters, or reserved",
        (Cure("choose another one: 1 to 23 letters and digits are always allowed", needs=Needs.SETTING),),
    ),
    "mqtt-version": Cause(
        "MQTT: the broker does not speak this version of the protocol",
        (Cure("use the other one: --mqtt 3.1.1 or 5", needs=Needs.SETTING),),
    ),
    "mqtt-unavailable": Cause(
        "MQTT: the broker cannot serve now: it starts or stops, is busy, or its store or authentication does not"
        " answer",
        (_BROKER_LOG, Cure("try again after a while, longer each time", needs=Needs.CODE), _SLOWER),
    ),
    "mqtt-quota": Cause(
        "MQTT: a rate or quota of the broker is exceeded: connections, messages, bytes or sessions",
        (
            _SLOWER,
            Cure("raise the broker's limit for this client", "more load and memory in the broker", Needs.OTHERS),
        ),
    ),
    "mqtt-banned": Cause(
        "MQTT: the broker has banned this client, by identifier, user or address, often after failed logins or"
        " flapping",
        (_BROKER_LOG, Cure("let its administrator lift the ban", needs=Needs.OTHERS)),
    ),
    "mqtt-shutdown": Cause(
        "MQTT: the broker stops, or an administrator ended the session (139, 152, 160)",
        (
            Cure("connect again, spread over some seconds: all clients at once bring it down again"),
            _BROKER_LOG,
        ),
    ),
    "mqtt-keepalive": Cause(
        "MQTT: nothing came from the client for 1.5 times its keepalive, so the broker ended the session: the client"
        " stood still, or its path was lost",
        (
            Cure("the client's own load: pings are sent by a loop that something may block"),
            Cure("ss -tino dst BROKER shows retransmissions, if the path loses packets"),
            Cure(
                "choose a keepalive below the idle time of NAT and firewalls (AWS 350 s, Azure 4 minutes, mobile"
                " networks less)",
                "some more traffic",
                Needs.SETTING,
            ),
        ),
    ),
    "mqtt-taken-over": Cause(
        "MQTT: another client connected with the same client identifier, which ends this session; with automatic"
        " reconnection, the two end each other again and again",
        (
            Cure(
                "give each client an identifier of its own, also after fork() and in each replica", needs=Needs.SETTING
            ),
            Cure("the broker's log has both addresses; one may be the client's own old connection, which is harmless"),
        ),
    ),
    "mqtt-topic": Cause(
        "MQTT: the broker does not accept this topic, filter or kind of subscription",
        (
            Cure(
                "check the topic: no # or + in it when publishing, # only at the end of a filter", needs=Needs.SETTING
            ),
            Cure("check the broker's ACL, which may answer so, and whether it has shared or wildcard subscriptions"),
        ),
    ),
    "mqtt-protocol": Cause(
        "MQTT: one end breaks the protocol, or found the other to do so: a malformed packet, one out of place, data"
        " that two threads mixed",
        (
            Cure("check that both ends speak the same version, and that no other protocol answers at this port"),
            Cure("share no connection between threads without a lock", needs=Needs.CODE),
            _BROKER_LOG,
        ),
    ),
    "mqtt-too-large": Cause(
        "MQTT: a packet is larger than the receiver allows",
        (
            Cure("send less at once", needs=Needs.CODE),
            Cure("raise max_packet_size of the broker", "memory for each connection", Needs.OTHERS),
        ),
    ),
    "mqtt-flow": Cause(
        "MQTT: more messages with QoS 1 or 2 are under way than the receiver allows (receive maximum)",
        (
            Cure("wait for PUBACK before more are sent", needs=Needs.CODE),
            Cure("raise max_inflight_messages of the broker", "memory for each session", Needs.OTHERS),
        ),
    ),
    "mqtt-elsewhere": Cause(
        "MQTT: the broker sends this client to another one (156, 157), which its answer may name",
        (Cure("connect to the broker that it names", needs=Needs.SETTING),),
    ),
    "mqtt-unsupported": Cause(
        "MQTT: the broker does not have what was asked for: QoS 1 or 2, retained messages, subscription identifiers",
        (Cure("do without it: --qos 0, no retained messages", needs=Needs.SETTING),),
    ),
    "mqtt-unspecified": Cause(
        "MQTT: the broker refuses without saying why (128, 131): an ACL, a plug-in, a fault of its own",
        (_BROKER_LOG, Cure("check user, rights and topic first", needs=Needs.SETTING)),
    ),
    "mqtt-ended": Cause(
        "MQTT: the broker ended the session with DISCONNECT and without an error",
        (_BROKER_LOG,),
    ),
    "mqtt-lost": Cause(
        "MQTT: the connection ended without DISCONNECT: the broker crashed, was killed, or reached a limit of"
        " connections; MQTT 3.1.1 never says why",
        (
            _BROKER_LOG,
            Cure("before CONNACK: max_connections of the broker, a port of TLS or WebSocket, or its open files"),
            Cure("use MQTT 5, in which brokers say why (--mqtt 5)", needs=Needs.SETTING),
            Cure("the same client identifier elsewhere, or a keepalive that was missed, end sessions so in 3.1.1"),
        ),
    ),
}
