"""What the driver needs of VPP's binary API: every message, field and type that it uses, one file per family.

A file is TOML. A message is a request with what answers it; fields that every message has are left out (`context`,
`retval` and such):

    [message.sw_interface_dump]
    details = { sw_if_index = "interface_index", tag = "string[64]" }

    [message.create_loopback_instance]
    request = { mac_address = "mac_address" }
    reply = { sw_if_index = "interface_index" }

A message that has `details` lists something: they come before the answer. When it has a `reply` as well, that is the
answer, and may hold a cursor to go on from; else a ping's answer is. Events stand for themselves, `[event.NAME]`.
A field is of one of VPP's base types (`u32`, `bool`, `string[64]`, `string[]`), of a type that is told under
`[type.NAME]`, or several: `u32[4]`, `fib_path[n_paths]` as many as another field says, `u8[]` to the end.

    [type.interface_index]
    alias = "u32"

    [type.if_status_flags]
    enum = "u32"
    values = { IF_STATUS_API_FLAG_ADMIN_UP = 1 }

    [type.prefix]
    struct = { address = "address", len = "u8" }

`check` compares it with the VPP that runs, and `definitions` turns it into definitions for tests. A new family is one
command, that takes the messages from a VPP or from its *.api.json files, and keeps the fields that the code names:

    python -m contivpp.dataplane.vpp.contract add tap tap_create_v3 tap_delete_v2 sw_interface_tap_v2_dump \
        --api /run/vpp/api.sock --used-in contivpp/dataplane/vpp/descriptors/tap.py

Instead of `--used-in`, fields can be named: `tap_create_v3:id,host_if_name`; with neither, all are taken.
`--needs MODULE` takes the messages and fields from a mapping NEEDS in a module, and what it uses from its text.
`check --api ...` says what is missing in a VPP.
"""
