// The block that is running: its threads, the places where they wait, and the fault if they wait
// for ever.
#pragma once
#include <stdio.h>
#include <string.h>

#include <map>
#include <string>
#include <vector>

#include "fibres.h"
#include "machine.h"

namespace cuda_sim {

struct Thread {
    enum State { ready, waiting, ended };

    Fibre fibre;
    Index index;
    // Number in the block, where x runs fastest: the warp is number / 32, the lane number % 32.
    unsigned number;
    State state;
    // The place where the thread waits.
    Place place;
};

// Lanes of one warp that called a shuffle with the same mask. The values of two rounds are kept: a
// lane may begin the next round before another lane has read the values of the last one. It cannot
// be two rounds ahead, because all lanes must arrive in between.
struct Exchange {
    unsigned arrived = 0, round = 0;
    const char* function = nullptr;
    uint64_t values[2][32];
};

struct Block {
    const Launch* launch = nullptr;
    Index index{};
    std::vector<Thread> threads;
    Thread* current = nullptr;
    Fibre scheduler;
    unsigned ended = 0;
    // Threads that wait at the next barrier; barriers that all threads have passed.
    unsigned at_barrier = 0, barriers = 0;
    Place barrier{};
    // By warp and mask.
    std::map<std::pair<unsigned, unsigned>, Exchange> exchanges;
    // Dynamic shared memory.
    std::vector<char> shared;
    // A sentence about the fault that ended the launch; empty if there is none.
    std::string fault;
    // Marks for the thread sanitizer.
    char start_mark, end_mark, barrier_marks[2];
};

inline Block block;

// Let the current thread wait at `place`, or end, and give the processor to the scheduler.
inline void hand_back(Thread::State state, Place place = {}) {
    Thread& self = *block.current;
    self.state = state;
    self.place = place;
    sanitizers::release(&block.end_mark);
    self.fibre.hand_over(block.scheduler);
}

inline std::string name(Index i) {
    return "(" + std::to_string(i.x) + ", " + std::to_string(i.y) + ", " + std::to_string(i.z)
           + ")";
}

inline std::string name(Place place) {
    return std::string(place.function) + " (kernel.cu:" + std::to_string(place.line) + ")";
}

inline std::string hex(unsigned mask) {
    char text[16];
    snprintf(text, sizeof text, "0x%08x", mask);
    return text;
}

// Stop the launch with a sentence. The thread that calls this function never runs again.
inline void fail(std::string what) {
    block.fault = what + " in thread " + name(block.current->index)
                  + " of block " + name(block.index);
    hand_back(Thread::waiting);
}

// Return the sentence about a deadlock: how many threads wait at each place.
inline std::string deadlock() {
    std::map<std::string, unsigned> waiting;
    for (const Thread& thread : block.threads)
        if (thread.state == Thread::waiting) ++waiting[name(thread.place)];
    std::string text = "deadlock in block " + name(block.index) + ": ";
    for (const auto& [place, count] : waiting)
        text += std::to_string(count) + " threads wait for ever at " + place + ", ";
    return text + std::to_string(block.ended) + " have ended";
}

// Two neighbouring barriers have different marks: a thread may reach the next barrier before
// another thread has left this one.
void wait_for_block(Place place) {
    if (block.at_barrier == 0) block.barrier = place;
    if (place.line != block.barrier.line)
        fail("expected all threads at one barrier, got " + name(block.barrier)
             + " and " + name(place));
    char* mark = &block.barrier_marks[block.barriers % 2];
    sanitizers::release(mark);
    if (++block.at_barrier < block.threads.size()) {
        hand_back(Thread::waiting, place);
    } else {
        block.at_barrier = 0;
        ++block.barriers;
        for (Thread& thread : block.threads) thread.state = Thread::ready;
    }
    sanitizers::acquire(mark);
}

// Give the bits of this lane, wait until all lanes of `mask` have given theirs, and return the bits
// of the source lane.
uint64_t exchange(Place place, unsigned mask, uint64_t bits, unsigned source_lane) {
    Thread& self = *block.current;
    const unsigned warp = self.number / 32, lane = self.number % 32;
    for (unsigned wanted : {lane, source_lane})
        if (!(mask >> wanted & 1))
            fail(name(place) + ": lane " + std::to_string(wanted)
                 + " is not in the mask " + hex(mask));

    Exchange& meeting = block.exchanges[{warp, mask}];
    if (meeting.arrived == 0) meeting.function = place.function;
    if (strcmp(meeting.function, place.function) != 0)
        fail(name(place) + ": lanes of the mask " + hex(mask)
             + " wait at " + meeting.function);
    const uint64_t* values = meeting.values[meeting.round % 2];
    meeting.values[meeting.round % 2][lane] = bits;
    meeting.arrived |= 1u << lane;
    if (meeting.arrived != mask) {
        hand_back(Thread::waiting, place);
    } else {
        meeting.arrived = 0;
        ++meeting.round;
        for (unsigned l = 0; l < 32; ++l)
            if (mask >> l & 1) block.threads[32 * warp + l].state = Thread::ready;
    }
    return values[source_lane];
}

}  // namespace cuda_sim
