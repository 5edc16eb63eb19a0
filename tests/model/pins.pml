/* Pins: readers (load the word, pin, fence, load again, compare the key, read, unpin) against those who reclaim a
 * segment (claim it, clear or move what names it, fence, sum the pins, free it or leave it in limbo).
 *
 * One index word for two keys of one tag; NS segments of one place each, so each publication may be an ABA of (tag,
 * segment, offset). A pin is a plain store: it stands in an x86-TSO store buffer of one entry. All else that is shared
 * is changed by CAS. A kill may come between any two steps; the master waits for the process, zeroes its pin row, seals
 * its OPEN and RECLAIM segments and starts another in the row.
 *
 * Claims: a reader that has looked twice reads one key's one value until it unpins (assertion); a word never names a
 * free segment (assertion); a segment is freed by one process only (assertion).
 *
 * Switches: NR readers, NS segments, NK reclaiming processes, KILLS, VICTIMS (sum of 1: readers, 2: the writer, 4:
 * reclaimers; default all), MOVE (a reclaimer may move what it finds), NOFREQ (freq stays 0: a smaller search).
 * Mutants:
 *   NOFENCE_R    the reader's second look may come before its pin is visible
 *   NOFENCE_K    the pins may be summed before the words are cleared (no such order on x86, where a CAS is a fence)
 *   NORELOAD     no second look
 *   NOKEYCMP     the tag is trusted
 *   BLINDFREQ    freq is raised by a store
 *   CLEARONCE    a CAS that failed because of freq is not tried again
 *   NOCLAIM      two may walk a segment at once (NK=2)
 *   NOINC        who takes a segment out of limbo does not compare its incarnation (NK=2)
 *   ZEROEARLY    a row is zeroed before its process is waited for
 *   SHAREDROW    two live readers have one row (NR=2)
 *   LATEPUB      sealed before published
 *   SEALEARLY    sealed by the master before the writer is waited for
 *   MOVEFIRST    the word is moved before the copy is made (MOVE) */
#ifndef NR
#define NR 1
#endif
#ifndef NS
#define NS 2
#endif
#ifndef NK
#define NK 1
#endif
#ifndef KILLS
#define KILLS 0
#endif
#ifndef VICTIMS
#define VICTIMS 7
#endif
#define STAMPS 3 /* enough to tell neighbouring uses of a place apart; the key is the stamp's last bit */

#define FREE 0
#define OPEN 1
#define SEALED 2
#define RECLAIM 3
#define LIMBO 4
#define WRITER 1 /* owners; 0: none */
#define KEEPER(k) ((k) + 2)

#define NAMES(w) (((w) & 3) - 1)
#define PLACE(w) ((w) & 3)
#define FREQ 4
#ifdef NOINC
#define SAME_INC(s) true
#else
#define SAME_INC(s) (!differs[k])
#endif

byte W;
byte stamp[NS];
byte st[NS], own[NS]; /* with the incarnation: one word a segment */

/* Pins: in memory, in the one entry of the store buffer, and as their process knows them. */
byte pin[NR * NS], known[NR * NS];
bool pend[NR];
byte to[NR], val[NR];

/* A survey under way: its segment + 1, and whether that was opened anew since, so that its incarnation differs. */
byte looks[NK];
bool differs[NK];

byte kills;
bool rdead[NR], rgone[NR], wdead, wgone, kdead[NK], kgone[NK];

#ifdef SHAREDROW
#define AT(r, s) (s)
#else
#define AT(r, s) ((r) * NS + (s))
#endif

proctype buffer(byte r)
{
end:
    do
    :: atomic { pend[r] -> pin[to[r]] = val[r]; pend[r] = false; to[r] = 0; val[r] = 0 }
    od
}

inline pin_by(s, n)
{
    to[r] = AT(r, s);
#ifdef SHAREDROW
    val[r] = pin[to[r]] + n;
#else
    known[to[r]] = known[to[r]] + n;
    val[r] = known[to[r]];
#endif
    pend[r] = true
}

proctype reader(byte r)
{
    byte w, k;
again:
    {
    end:
        do
        :: atomic { W != 0 -> w = W };
           atomic { !pend[r] -> pin_by(NAMES(w), 1) };
#ifndef NOFENCE_R
           !pend[r];
#endif
#ifndef NORELOAD
           if
           :: atomic { PLACE(W) != PLACE(w) -> goto unpin }
           :: else
           fi;
#endif
           atomic {
               k = stamp[NAMES(w)];
               if
#ifndef NOKEYCMP
               :: goto unpin /* another key's */
#else
               :: assert((k & 1) == 1)
#endif
               :: skip
               fi
           };
#ifndef NOFREQ
           if
           :: !(w & FREQ) ->
#ifdef BLINDFREQ
              W = w | FREQ
#else
              atomic { if :: W == w -> W = w | FREQ :: else fi }
#endif
           :: skip
           fi;
#endif
           assert(stamp[NAMES(w)] == k);
        unpin:
           atomic { !pend[r] -> pin_by(NAMES(w), -1); w = 0; k = 0 }
        od
    } unless { rdead[r] };
    atomic { rgone[r] = true; w = 0; k = 0 };
    atomic { !rdead[r] -> rgone[r] = false };
    goto again
}

inline open_as(s, who)
{
    st[s] = OPEN;
    own[s] = who;
#if NK > 1
    if :: looks[0] == s + 1 -> differs[0] = true :: else fi;
    if :: looks[1] == s + 1 -> differs[1] = true :: else fi
#endif
}

proctype writer()
{
    byte s, v = 1;
again:
    {
    end:
        do
        :: atomic {
               if
               :: st[0] == FREE -> s = 0
               :: st[1] == FREE -> s = 1
#if NS > 2
               :: st[2] == FREE -> s = 2
#endif
               fi;
               open_as(s, WRITER)
           };
           stamp[s] = v;
#ifdef LATEPUB
           atomic { st[s] = SEALED; own[s] = 0 };
#endif
           atomic { W = s + 1; assert(st[s] != FREE) };
           atomic { st[s] = SEALED; own[s] = 0; v = v % STAMPS + 1; s = 0 }
        od
    } unless { wdead };
    atomic { wgone = true; s = 0 };
    atomic { !wdead -> wgone = false };
    goto again
}

inline sum_pins(s, n)
{
    n = 0;
    if
    :: pin[s] != 0 -> n = 1
    :: else
#if NR > 1
       ->
       if
       :: pin[NS + s] != 0 -> n = 1
       :: else
       fi
#endif
    fi
}

proctype keeper(byte k)
{
    byte s, w, n, t;
again:
    {
    end:
        do
        :: atomic {
               if
               :: st[0] == SEALED || st[0] == LIMBO -> s = 0
               :: st[1] == SEALED || st[1] == LIMBO -> s = 1
#if NS > 2
               :: st[2] == SEALED || st[2] == LIMBO -> s = 2
#endif
               fi;
               if
               :: st[s] == SEALED ->
#ifndef NOCLAIM
                  st[s] = RECLAIM; own[s] = KEEPER(k)
#endif
               :: else ->
#if NK > 1
                  looks[k] = s + 1;
#endif
                  goto limbo
               fi
           };
#ifdef NOFENCE_K
           sum_pins(s, n);
#endif
           w = W;
           do
           :: PLACE(w) != s + 1 -> break
           :: else ->
#ifdef MOVE
              if
              :: atomic {
                     if
                     :: st[0] == FREE -> t = 0
                     :: st[1] == FREE -> t = 1
                     :: st[2] == FREE -> t = 2
                     fi;
                     open_as(t, KEEPER(k))
                 };
#ifndef MOVEFIRST
                 stamp[t] = stamp[s];
#endif
                 atomic { if :: W == w -> W = t + 1; w = 0 :: else -> w = W fi };
#ifdef MOVEFIRST
                 stamp[t] = stamp[s];
#endif
                 atomic { st[t] = SEALED; own[t] = 0; t = 0 }
              :: skip
              fi;
#endif
              atomic {
                  if
                  :: w != 0 && W == w -> W = 0; w = 0
                  :: else ->
                     w = W
#ifdef CLEARONCE
                     ; w = 0
#endif
                  fi
              }
           od;
#ifndef NOFENCE_K
           sum_pins(s, n);
#endif
           if
           :: n -> atomic { st[s] = LIMBO; own[s] = 0 }
           :: else -> goto free
           fi;
           goto next;
        limbo:
           sum_pins(s, n);
           if
           :: n -> goto next
           :: else
           fi;
           atomic {
               if
               :: st[s] == LIMBO && SAME_INC(s) -> st[s] = RECLAIM; own[s] = KEEPER(k)
               :: else -> goto next
               fi
           };
        free:
           atomic {
#ifndef NOCLAIM
               assert(st[s] == RECLAIM && own[s] == KEEPER(k));
#endif
               assert(NAMES(W) != s);
               st[s] = FREE; own[s] = 0
           };
        next:
           atomic { s = 0; w = 0; n = 0; t = 0; looks[k] = 0; differs[k] = false }
        od
    } unless { kdead[k] };
    atomic { kgone[k] = true; s = 0; w = 0; n = 0; t = 0; looks[k] = 0; differs[k] = false };
    atomic { !kdead[k] -> kgone[k] = false };
    goto again
}

inline zero(r)
{
    i = 0;
    do
    :: i < NS -> pin[AT(r, i)] = 0; i++
    :: else -> break
    od;
    i = 0
}

inline seal(who)
{
    i = 0;
    do
    :: i < NS ->
       atomic { if :: own[i] == who -> st[i] = SEALED; own[i] = 0 :: else fi; i++ }
    :: else -> break
    od;
    i = 0
}

proctype master()
{
    byte r, i;
end:
    do
    :: atomic { (VICTIMS & 1) && kills < KILLS -> kills++; if :: r = 0
#if NR > 1
                                             :: r = 1
#endif
                                          fi };
#ifdef ZEROEARLY
       zero(r);
#endif
       rdead[r] = true;
       rgone[r] && !pend[r];
       zero(r);
       atomic {
           do
           :: i < NS -> known[r * NS + i] = 0; i++
           :: else -> break
           od;
           i = 0; rdead[r] = false; r = 0
       }
    :: atomic { (VICTIMS & 2) && kills < KILLS -> kills++ };
#ifdef SEALEARLY
       seal(WRITER);
#endif
       wdead = true;
       wgone;
       seal(WRITER);
       wdead = false
    :: atomic { (VICTIMS & 4) && kills < KILLS -> kills++; if :: r = 0
#if NK > 1
                                             :: r = 1
#endif
                                          fi };
       kdead[r] = true;
       kgone[r];
       seal(KEEPER(r));
       atomic { kdead[r] = false; r = 0 }
    od
}

init
{
    atomic {
        byte i;
        do
        :: i < NR -> run reader(i); run buffer(i); i++
        :: else -> break
        od;
        i = 0;
        do
        :: i < NK -> run keeper(i); i++
        :: else -> break
        od;
        i = 0;
        run writer();
#if KILLS > 0
        run master()
#endif
    }
}
