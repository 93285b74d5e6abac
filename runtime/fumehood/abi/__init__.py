"""The provider ABI as pure functions: bytes in, typed values out, and back. No I/O.

Whatever bytes a guest or a remote API sends, a `decode_*` function returns a value that obeys
the specification or raises `ProtocolError`; nothing else leaves it.

    memory     ranges of guest memory, checked
    jsonwire   JSON documents, strict
    fields     reading decoded documents field by field
    bytearrays arrays of numbers that are bytes, fast
    uri        which text is a URI
    http       requests and replies between guest and host
    blocks     content blocks of messages
    messages   chat messages and how callers write them (`messages_gen_a`: their oldest form)
    tools      tools and tool calls
    options    tool choice, structured output, reasoning effort
    replies    chat replies, stream chunks, usage
    outputs    the smaller answers: models, vectors, texts, stream handles, log records
    speech     transcription and speech, with their voices
    calls      the input of every export
    payloads   errors as guests report them
    status     HTTP statuses as errors, retry hints
"""
