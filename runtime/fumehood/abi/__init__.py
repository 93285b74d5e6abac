"""The provider ABI as pure functions: bytes in, typed values out, and back. No I/O.

Whatever bytes a guest or a remote API sends, a `decode_*` function returns a value that obeys
the specification or raises `ProtocolError`; nothing else leaves it.

    jsonwire   JSON documents, strict; byte arrays with a fast path
    fields     reading decoded documents field by field
    http       requests and replies between guest and host
    messages   chat messages, content blocks, tools (their oldest form in `messages_gen_a`)
    replies    chat replies, stream chunks, usage
    outputs    the smaller answers: models, vectors, texts, stream handles, log records
    speech     transcription and speech, with their voices
    calls      the input of every export
    payloads   errors as guests report them
    status     HTTP statuses as errors, retry hints
"""
