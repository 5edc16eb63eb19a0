/* Index: several writers publish one key at once into the words of its two buckets, while items are moved (promotion,
 * gzip), cleared, evicted by another key's writer and dropped by an invalidation.
 *
 * NW words, all of one tag; places 0..NP-1, each a segment of its own. At the start word 0 names an item of the key. A
 * pin with its second look is one step here (pins.pml). Freq would only make a CAS be tried again: left out. A writer
 * keeps its segment open until it has settled, so reclaiming does not move what it has just published; the keeper's
 * gzip may.
 *
 * Claims (assertions):
 *   - each word names one place, no two the same, none a free one;
 *   - what a pinned reader sees is one item of its key to the end;
 *   - a get serves nothing that an acknowledged invalidation reached, duplicates included;
 *   - replace and settle drop no item of another key;
 *   - when all writers are done, one word at most names the key, unless a move came between a settle's look and its CAS,
 *     or took away the item that settled (`missed`), or a writer was killed before it had settled (`died`). A duplicate
 *     is harmless: each entry has its own born_seq and is checked by it;
 *   - LEFT: then one word at least names it, unless an item was evicted, cleared or dropped meanwhile.
 *
 * Switches: WRITERS of the key, FOREIGN (1: a writer of another key), ROUNDS of each, RECLAIMS (moves or clears), GZIPS,
 * INVS, GET (a reader), NW, NP, DIE (a writer may), DUP (two words name the key at the start), LEFT, and
 *   RETRY   a settle whose CAS fails because of a move looks at the word again
 *   STRICT  `missed` excuses nothing: fails without RETRY, and shows how a duplicate stays
 * Mutants:
 *   BYPLACE       of two born at once the one at the greater place counts as later, for settle alone: one takes the greater
 *                 item's place with a lesser one, and each of two that settle gives way to an item that goes (LEFT, three
 *                 writers or a move)
 *   NOSETTLE      nobody looks for duplicates
 *   SETTLEOWN     who is lesser clears its own; nobody clears a lesser one of another
 *   SETTLEOTHERS  each clears the others': none stays (LEFT)
 *   NOTIE         of two born at once both stay
 *   NOTAGS        after one entry that was dropped the next one is not checked (DUP, GET, INVS)
 *   NOPIN         replace and settle look at items without a pin (FOREIGN, RECLAIMS) */
#ifndef BYPLACE
#define BYTIME
#endif
#ifndef WRITERS
#define WRITERS 2
#endif
#ifndef FOREIGN
#define FOREIGN 0
#endif
#ifndef ROUNDS
#define ROUNDS 1
#endif
#ifndef RECLAIMS
#define RECLAIMS 0
#endif
#ifndef INVS
#define INVS 0
#endif
#ifndef GZIPS
#define GZIPS 0
#endif
#ifndef NW
#define NW 2
#endif
#ifndef NP
#define NP 4
#endif
#define TRIES 2 /* of an insertion that loses its word to others */

#define THE_KEY 1
#define OTHER_KEY 2

#define FREE 0
#define OPEN 1
#define SEALED 2
#define RECLAIM 3
#define LIMBO 4

byte W[NW]; /* place + 1; 0: empty */
byte st[NP], key[NP], born[NP], made[NP], version[NP], pins[NP];
byte global_seq, tag, db = 1, clock;

/* What no process knows. */
byte acked = 1, writing = WRITERS + FOREIGN;
bool moved[NW]; /* the last to change the word was a move */
bool missed, died, dropped;

#ifdef LEFT
#define LEFT_ONE assert(COUNT >= 1 || dropped || tag != 0)
#else
#define LEFT_ONE skip
#endif
#ifdef STRICT
#define EXCUSED died
#else
#define EXCUSED (died || missed)
#endif

#ifdef BYTIME
#define MAKE(p) clock++; made[p] = clock
#else
#define MAKE(p) skip
#endif
#define VALID(p) (tag <= born[p])
#define AVAILABLE(p) (st[p] == FREE || (st[p] == LIMBO && pins[p] == 0))
#define LIVE(w) (w == 0 || (st[w - 1] != FREE && st[w - 1] != LIMBO))
#define HAS(w, k) (w != 0 && key[w - 1] == k)
#define WL W[NW - 1]
#define COUNT ((HAS(W[0], THE_KEY) -> 1 : 0) + (HAS(W[1], THE_KEY) -> 1 : 0) + (NW > 2 && HAS(WL, THE_KEY) -> 1 : 0))
#define ANY_MOVED (moved[0] || moved[1] || moved[NW - 1])
#define NAMED(p) (W[0] == p + 1 || W[1] == p + 1 || WL == p + 1)
#define WORDS_OK \
    (LIVE(W[0]) && LIVE(W[1]) && LIVE(WL) && (W[0] == 0 || W[0] != W[1]) && \
     (NW == 2 || WL == 0 || (WL != W[0] && WL != W[1])))

inline cas(i, old, to, by_move, ok)
{
    d_step {
        ok = W[i] == old;
        if
        :: ok -> W[i] = to; moved[i] = by_move
        :: else
        fi;
        assert(WORDS_OK)
    }
}

/* With the second look. */
inline pin(i, w, ok)
{
    d_step {
        ok = W[i] == w;
        if
        :: ok -> pins[w - 1]++
        :: else
        fi
    }
}

#ifdef NOPIN
#define PIN(i, w, ok) ok = true
#define UNPIN(w) skip
#else
#define PIN(i, w, ok) pin(i, w, ok)
#define UNPIN(w) pins[w - 1]--
#endif

/* Any free one, as the order of places decides; with BYTIME the first. */
#ifndef BYTIME
#define ANY(p) true
#else
#define BUSY(p) (!AVAILABLE(p))
#define ANY(p) (BUSY(0) && (p < 2 || BUSY(1)) && (p < 3 || BUSY(2)) && (p < 4 || BUSY(3)))
#endif

inline take(p, ok)
{
    atomic {
        ok = true;
        if
        :: AVAILABLE(0) -> p = 0
        :: ANY(1) && AVAILABLE(1) -> p = 1
        :: ANY(2) && AVAILABLE(2) -> p = 2
        :: ANY(3) && AVAILABLE(3) -> p = 3
#if NP > 4
        :: ANY(4) && AVAILABLE(4) -> p = 4
#endif
        :: else -> ok = false
        fi;
        if
        :: ok -> st[p] = OPEN
        :: else
        fi
    }
}

/* Of two entries of a key: which one stays? */
#ifdef BYTIME
#define LATER(w) (born[w - 1] > b || (born[w - 1] == b && made[w - 1] > made[p]))
#define SAME(w) (born[w - 1] == b && made[w - 1] == made[p])
#define REFUSES(w) LATER(w)
#define STAYS(w) LATER(w)
#define GOES(w) (!LATER(w) && !SAME(w))
#else
#define REFUSES(w) (born[w - 1] > b)
#define STAYS(w) (born[w - 1] > b || (born[w - 1] == b && w > p + 1))
#define GOES(w) (!STAYS(w))
#endif
#ifdef NOTIE
#undef STAYS
#undef GOES
#define STAYS(w) (born[w - 1] > b)
#define GOES(w) (born[w - 1] < b)
#endif
#ifdef SETTLEOTHERS
#undef STAYS
#undef GOES
#define STAYS(w) false
#define GOES(w) true
#endif
#ifdef SETTLEOWN
#undef GOES
#define GOES(w) false
#endif

/* Unless another's item, or a copy of it, has its place by now. */
inline clear_own(p)
{
    if
    :: W[0] == p + 1 -> cas(0, p + 1, 0, false, ok)
    :: W[1] == p + 1 -> cas(1, p + 1, 0, false, ok)
#if NW > 2
    :: W[2] == p + 1 -> cas(2, p + 1, 0, false, ok)
#endif
    :: else -> missed = missed || ANY_MOVED
    fi
}

proctype writer(byte k)
{
    byte rounds, b, p, i, w, victim, tries;
    bool ok;
start:
    if
    :: rounds == ROUNDS -> goto done
    :: else -> rounds++
    fi;
    b = global_seq; /* before the fetch */
    take(p, ok);
    if
    :: !ok -> goto start
    :: else
    fi;
    d_step { key[p] = k; born[p] = b; MAKE(p); version[p] = db; i = 0 };

    /* Who finds the key takes its place. */
replace:
    if
    :: i == NW -> goto insert
    :: atomic { i < NW && W[i] == 0 -> i++ }; goto replace
    :: atomic { i < NW && W[i] != 0 -> w = W[i] }
    fi;
    atomic {
        PIN(i, w, ok);
        if
        :: !ok -> goto replace
        :: ok && !HAS(w, k) -> UNPIN(w); i++; goto replace
        :: else
        fi
    };
    if
    :: atomic { REFUSES(w) && VALID(w - 1) -> UNPIN(w); goto seal }
    :: else
    fi;
    atomic {
        assert(W[i] != w || HAS(w, k));
        cas(i, w, p + 1, false, ok);
        UNPIN(w);
        if
        :: ok -> goto settle
        :: else -> i++; goto replace
        fi
    };

    /* An empty word, else any victim's. */
insert:
    atomic { i = 0; w = 0; tries++ };
    do
    :: i == NW -> break
    :: atomic { i < NW && W[i] != 0 -> if :: w = W[i]; victim = i :: w != 0 fi; i++ }
    :: atomic { i < NW && W[i] == 0 -> skip };
       cas(i, 0, p + 1, false, ok);
       if
       :: ok -> goto settle
       :: else -> i++
       fi
    od;
    ok = false;
    if
    :: w != 0 -> atomic { cas(victim, w, p + 1, false, ok); dropped = dropped || ok }
    :: else
    fi;
    if
    :: ok -> goto settle
    :: else
    fi;
    if
    :: tries < TRIES -> goto insert
    :: else -> dropped = true; goto seal
    fi;

settle:
#ifdef NOSETTLE
    goto seal;
#endif
    i = 0;
look:
    if
    :: i == NW -> goto seal
    :: atomic { i < NW && (W[i] == 0 || W[i] == p + 1) -> i++ }; goto look
    :: atomic { i < NW && W[i] != 0 && W[i] != p + 1 -> w = W[i] }
#ifdef DIE
    :: died = true; goto seal /* as the master does for it */
#endif
    fi;
    atomic {
        PIN(i, w, ok);
        if
        :: !ok -> goto look
        :: ok && (!HAS(w, k) || (!STAYS(w) && !GOES(w))) -> UNPIN(w); i++; goto look
        :: else
        fi
    };
    atomic {
        if
        :: STAYS(w) -> clear_own(p); i++
        :: else ->
           assert(W[i] != w || HAS(w, k));
           cas(i, w, 0, false, ok);
#ifdef RETRY
           if
           :: ok || !moved[i] -> i++
           :: else
           fi
#else
           missed = missed || (!ok && moved[i]);
           i++
#endif
        fi;
        UNPIN(w);
        goto look
    };

seal:
    atomic { st[p] = SEALED; i = 0; w = 0; p = 0; b = 0; victim = 0; tries = 0; ok = false };
    goto start;
done:
    atomic {
        writing--;
        if
        :: writing == 0 ->
           assert(COUNT <= 1 || EXCUSED);
           LEFT_ONE
        :: else
        fi
    }
}

proctype reclaimer()
{
    byte n, p, q, i;
    bool ok;
end:
    do
    :: atomic {
           n < RECLAIMS ->
           if
           :: st[0] == SEALED -> p = 0
           :: st[1] == SEALED -> p = 1
           :: st[2] == SEALED -> p = 2
           :: st[3] == SEALED -> p = 3
#if NP > 4
           :: st[4] == SEALED -> p = 4
#endif
           fi;
           n++; st[p] = RECLAIM; i = 0
       };
       do
       :: i == NW -> break
       :: atomic { i < NW && W[i] != p + 1 -> i++ }
       :: atomic { i < NW && W[i] == p + 1 -> skip };
          if
          :: take(q, ok);
             if
             :: ok ->
                d_step { key[q] = key[p]; born[q] = born[p]; made[q] = made[p]; version[q] = version[p] };
                cas(i, p + 1, q + 1, true, ok);
                d_step { st[q] = SEALED; q = 0 }
             :: else
             fi
          :: atomic { cas(i, p + 1, 0, false, ok); dropped = dropped || ok }
          fi
       od;
       atomic { assert(!NAMED(p)); st[p] = LIMBO; p = 0; i = 0; ok = false }
    od
}

/* It puts a compressed copy in the place of an item that may stand in another's open segment. */
proctype keeper()
{
    byte n, q, i, w;
    bool ok;
end:
    do
    :: atomic {
           n < GZIPS && (W[0] != 0 || W[1] != 0) ->
           if
           :: W[0] != 0 -> i = 0
           :: W[1] != 0 -> i = 1
           fi;
           w = W[i]; n++
       };
       pin(i, w, ok);
       if
       :: ok ->
          take(q, ok);
          if
          :: ok ->
             d_step { key[q] = key[w - 1]; born[q] = born[w - 1]; made[q] = made[w - 1]; version[q] = version[w - 1] };
             cas(i, w, q + 1, true, ok);
             d_step { st[q] = SEALED; q = 0 }
          :: else
          fi;
          pins[w - 1]--
       :: else
       fi;
       atomic { i = 0; w = 0; ok = false }
    od
}

proctype reader()
{
    byte a, i, w, v;
    bool ok, checked;
end:
    do
    :: atomic { a = acked; i = 0 };
       do
       :: i == NW -> break
       :: atomic { i < NW && W[i] == 0 -> i++ }
       :: atomic { i < NW && W[i] != 0 -> w = W[i] };
          atomic {
              pin(i, w, ok);
              if
              :: !ok -> i++; goto on
              :: ok && !HAS(w, THE_KEY) -> pins[w - 1]--; i++; goto on
              :: else
              fi
          };
          if
          :: atomic { VALID(w - 1) || checked -> v = version[w - 1] };
             atomic { assert(HAS(w, THE_KEY) && version[w - 1] == v && v >= a); pins[w - 1]--; i = NW }
          :: atomic { !(VALID(w - 1) || checked) -> skip };
             atomic {
                 cas(i, w, 0, false, ok);
                 dropped = dropped || ok;
#ifdef NOTAGS
                 checked = true;
#endif
                 pins[w - 1]--; i++
             }
          fi;
       on:
          skip
       od;
       atomic { a = 0; i = 0; w = 0; v = 0; ok = false; checked = false }
    od
}

proctype invalidator()
{
    byte n, s, v;
    do
    :: n < INVS ->
       d_step { n++; db++; v = db };
       d_step { global_seq++; s = global_seq };
       d_step { if :: tag < s -> tag = s :: else fi };
       acked = v
    :: else -> break
    od
}

init
{
    atomic {
        byte i;
        st[0] = SEALED; key[0] = THE_KEY; version[0] = 1; W[0] = 1;
#ifdef DUP
        st[1] = SEALED; key[1] = THE_KEY; version[1] = 1; W[1] = 2;
        died = true;
#endif
        do
        :: i < WRITERS -> run writer(THE_KEY); i++
        :: else -> break
        od;
        i = 0;
        if :: FOREIGN -> run writer(OTHER_KEY) :: else fi;
        if :: RECLAIMS -> run reclaimer() :: else fi;
        if :: GZIPS -> run keeper() :: else fi;
        if :: INVS -> run invalidator() :: else fi;
#ifdef GET
        run reader()
#endif
    }
}
