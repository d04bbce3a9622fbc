"""From packet to packet: an answer that was learned, in the form that this asker can take."""

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t

from gslb.dns.compiled.atomic cimport count
from gslb.dns.compiled.choosing cimport RCODE, Chosen, choose, find_question
from gslb.dns.compiled.cookie cimport COOKIE_LENGTH, check_cookie, is_well_formed
from gslb.dns.compiled.limiter cimport DROP, SEND, limiter_judge
from gslb.dns.compiled.network cimport is_listed
from gslb.dns.compiled.serving cimport (
    EVERYBODY, GOOD, LISTED, NO_COOKIE, NOBODY, Counters, Serving, SettingsState, Source,
)
from gslb.dns.compiled.stored cimport Cut, Template, error_of, tail_of
from gslb.dns.compiled.wire cimport (
    COOKIE, HEADER_LENGTH, OPT_LENGTH, Query, Subnet, fitting_cut, read_query, read_subnet, write16,
    write_bytes, write_head, write_opt, write_subnet,
)

cdef enum:
    CLASSIC_PAYLOAD = 512
    TC = 0x0200
    NOTHING = -1  # answering.MISS
    NO_ANSWER = 0  # answering.SILENCE
    OPTION_HEAD = 4

ctypedef struct Form:
    # How an answer goes out. error_length: of the extended error that goes with it.
    Cut cut
    uint32_t flags
    uint32_t error_length
    uint32_t options_length
    uint32_t length


cdef inline bint is_answered_port(uint16_t port) noexcept nogil:
    """See gslb.dns.responder.UNANSWERED_PORTS."""
    return port > 464 or not (
        port == 0 or port == 7 or port == 13 or port == 17 or port == 19 or port == 37 or port == 464
    )


cdef inline bint _introduce(
    Query* query, Subnet* subnet, const SettingsState* settings, const Source* source
) noexcept nogil:
    """Read the options that count (gslb.dns.asker.Asker.introduce); false: Python is to look at them."""
    subnet.given = False
    if not query.edns:
        return True
    if settings.secrets == 0:
        query.cookie = NULL
    if query.cookie != NULL and not is_well_formed(query.cookie_length):
        return False
    if query.subnet == NULL or settings.trust == NOBODY:
        return True
    if settings.trust == LISTED:
        if not is_listed(settings.prefix, settings.prefixes, source.address, source.version):
            return True
    elif settings.trust != EVERYBODY:
        return False
    return read_subnet(subnet, query.subnet, query.subnet_length)


cdef inline bint _fit(
    Form* form, Template* template, const Query* query, uint32_t options_length, uint32_t limit, size_t room
) noexcept nogil:
    """As much of the answer as the limit allows; false: Python can still do something (responder._fitted).

    What explains gives way to what answers (RFC 8914 3).
    """
    cdef uint32_t bare = HEADER_LENGTH + query.question_length
    if query.edns:
        bare += OPT_LENGTH + options_length
    form.error_length = template.error_length if query.edns else 0
    form.cut = fitting_cut(template, <int64_t>limit - bare - form.error_length)[0]
    if form.error_length and (form.cut.truncated or template.flags & TC):
        form.error_length = 0
        form.cut = fitting_cut(template, <int64_t>limit - bare)[0]
    form.flags = template.flags | (TC if form.cut.truncated else 0)
    form.options_length = options_length + form.error_length
    form.length = bare + form.error_length + form.cut.length
    return form.length <= limit and form.length <= room


cdef inline void _slip(Form* form) noexcept nogil:
    """The same without records and explanations: the asker is to come back over TCP."""
    form.length -= form.cut.length + form.error_length
    form.options_length -= form.error_length
    form.error_length = form.cut.length = 0
    form.cut.answers = form.cut.authorities = form.cut.additionals = 0
    form.flags |= TC


cdef inline void _count(
    Counters* counters, Serving* serving, const Chosen* chosen, const Form* form, bint slipped
) noexcept nogil:
    cdef int64_t served
    count(&counters.answered)
    count(&counters.rcodes[form.flags & RCODE])
    if form.flags & TC:
        count(&counters.truncations)
    if slipped:
        return
    if chosen.stale:
        count(&counters.stale)
    if chosen.question.served >= 0 and chosen.template.served >= 0:
        served = <int64_t>chosen.question.served + chosen.template.served
        if <uint64_t>served < serving.book.served_count:
            count(&serving.book.served[counters.thread * serving.book.served_stride + served])


cdef inline int repeat_answer(
    Serving* serving,
    Counters* counters,
    const uint8_t* packet,
    size_t length,
    const Source* source,
    double now,
    uint8_t* out,
    size_t room,
) noexcept nogil:
    """The length of the answer written to `out`; NO_ANSWER, or NOTHING when Python is to answer.

    Everything that can leave the answer to Python comes before anything is counted.
    """
    cdef const SettingsState* settings = serving.settings
    cdef Query query
    cdef Subnet subnet
    cdef Chosen chosen
    cdef Form form
    cdef uint8_t cookie[COOKIE_LENGTH]
    cdef int shown = NO_COOKIE
    cdef int judged = SEND
    cdef uint32_t limit = CLASSIC_PAYLOAD
    cdef uint32_t options_length = 0
    cdef uint8_t* at
    if length < HEADER_LENGTH or packet[2] & 0x80 or not is_answered_port(source.port):
        # Python would say so as well, but nobody is to take its time with this.
        count(&counters.ignored)
        return NO_ANSWER
    if not read_query(&query, packet, length):
        return NOTHING
    chosen.question = find_question(serving.book, query.text, query.text_length)
    if chosen.question == NULL or not _introduce(&query, &subnet, settings, source):
        return NOTHING
    if subnet.given and subnet.source_prefix_length:
        if not choose(&chosen, serving.book, subnet.address, subnet.version, now):
            return NOTHING
    elif not choose(&chosen, serving.book, source.address, source.version, now):
        return NOTHING
    if query.edns:
        limit = min(max(query.payload, <uint32_t>CLASSIC_PAYLOAD), settings.udp_payload)
        if subnet.given:
            options_length += OPTION_HEAD + 4 + subnet.octets
        if query.cookie != NULL:
            options_length += OPTION_HEAD + COOKIE_LENGTH
    if not _fit(&form, chosen.template, &query, options_length, limit, room):
        return NOTHING
    if query.edns and query.cookie != NULL:
        shown = check_cookie(
            settings,
            query.cookie,
            query.cookie_length,
            source.address,
            4 if source.version == 4 else 16,
            now,
            cookie,
        )
        count(&counters.cookies[shown])
    if shown != GOOD and settings.limiter != NULL:
        judged = limiter_judge(
            settings.limiter, source.version, source.address, form.flags & RCODE != 0, <int64_t>now
        )
        if judged == DROP:
            count(&counters.silences)
            return NO_ANSWER
        if judged != SEND:
            _slip(&form)
    _count(counters, serving, &chosen, &form, judged != SEND)
    at = write_head(out, packet, &query, form.flags, &form.cut)
    at = write_bytes(at, tail_of(chosen.template), form.cut.length)
    if query.edns:
        at = write_opt(at, &query, settings.udp_payload, form.options_length)
        if subnet.given:
            at = write_subnet(at, &subnet, chosen.scope)
        if query.cookie != NULL:
            at = write16(write16(at, COOKIE), COOKIE_LENGTH)
            at = write_bytes(at, cookie, COOKIE_LENGTH)
        at = write_bytes(at, error_of(chosen.template), form.error_length)
    return <int>form.length
