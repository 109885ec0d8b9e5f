#include "runtime/team.hpp"

#include <pthread.h>
#include <sched.h>
#include <signal.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <exception>
#include <mutex>
#include <thread>
#include <vector>

#include "runtime/parallel.hpp"

namespace fastconv::runtime {
namespace {

using Clock = std::chrono::steady_clock;

// Between two operations of a network less passes; waking a sleeper costs about as much.
constexpr auto spin_time = std::chrono::microseconds(400);
constexpr index_t claims_per_run = 32;  // a run of items is taken in so many parts, for others to help with the rest

thread_local bool is_in_team = false;
std::atomic<int> awake{0};  // workers of all teams

void pause() noexcept {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    asm volatile("yield");
#endif
}

// Spins until done() or until the time is over; whether it is done.
template <class Done>
bool spin(const Done& done) noexcept {
    const auto end = Clock::now() + spin_time;
    do {
        for (int i = 0; i < 64; ++i) {
            if (done()) return true;
            pause();
        }
    } while (Clock::now() < end);
    return done();
}

// The state of a team in one word, so that entering a job is one atomic step that fails if the job is over.
// Bits 0-15: workers inside; 16-31: participants wanted, 0 when there is no job; 32-63: number of the job.
using State = std::uint64_t;
constexpr State participants_mask = State{0xffff} << 16;

constexpr int inside(State state) { return static_cast<int>(state & 0xffff); }
constexpr int participants(State state) { return static_cast<int>(state >> 16 & 0xffff); }
constexpr std::uint32_t job_number(State state) { return static_cast<std::uint32_t>(state >> 32); }

class Team {
  public:
    void run(index_t items, int threads, const void* body, RunItems run) noexcept {
        grow(threads);
        if (workers_ == 0) return run(body, 0, items, 0);
        threads = static_cast<int>(std::min(static_cast<std::size_t>(threads), workers_ + 1));
        for (int i = 0; i < threads; ++i) {
            const auto [begin, end] = share(items, i, threads);
            runs_[i].next.store(begin, std::memory_order_relaxed);
            runs_[i].end = end;
        }
        step_ = std::max<index_t>(1, items / threads / claims_per_run);
        body_ = body;
        run_ = run;
        job_ += 1;
        state_.store(State{job_} << 32 | static_cast<State>(threads) << 16);
        if (sleepers_.load() > 0) {
            {
                const std::lock_guard lock(mutex_);
            }
            wake_.notify_all();
        }
        work(0, threads);
        state_.fetch_and(~participants_mask);
        const auto alone = [&]() noexcept { return inside(state_.load(std::memory_order_acquire)) == 0; };
        while (!spin(alone)) sched_yield();
    }

  private:
    struct alignas(64) Run {
        std::atomic<index_t> next;
        index_t end;
    };

    // As many workers as the system allows.
    void grow(int threads) noexcept {
        const auto wanted = static_cast<std::size_t>(threads);
        if (wanted <= workers_ + 1) return;
        sigset_t every, before;
        sigfillset(&every);
        pthread_sigmask(SIG_SETMASK, &every, &before);  // signals are for the host's threads
        try {
            if (runs_.size() < wanted) runs_ = std::vector<Run>(wanted);
            for (; workers_ + 1 < wanted; ++workers_)
                std::thread(&Team::serve, this, static_cast<int>(workers_) + 1).detach();
        } catch (const std::exception&) {  // with fewer then
        }
        pthread_sigmask(SIG_SETMASK, &before, nullptr);
    }

    void serve(int index) noexcept {
        is_in_team = true;
        awake.fetch_add(1, std::memory_order_relaxed);
        std::uint32_t last = 0;
        State state{};
        const auto wanted = [&]() noexcept {
            state = state_.load();
            return job_number(state) != last && index < participants(state);
        };
        for (;;) {
            if (!spin(wanted)) {
                std::unique_lock lock(mutex_);
                sleepers_.fetch_add(1);
                awake.fetch_sub(1, std::memory_order_relaxed);
                wake_.wait(lock, wanted);
                awake.fetch_add(1, std::memory_order_relaxed);
                sleepers_.fetch_sub(1);
            }
            const State job = state & ~State{0xffff};
            bool entered = false;
            while (!entered && (state & ~State{0xffff}) == job)
                entered = state_.compare_exchange_weak(state, state + 1);
            last = job_number(job);
            if (!entered) continue;
            work(index, participants(job));
            state_.fetch_sub(1, std::memory_order_release);
        }
    }

    // First the own run, then what is left of the others'.
    void work(int index, int threads) noexcept {
        for (int i = 0; i < threads; ++i) {
            Run& run = runs_[(index + i) % threads];
            for (;;) {
                const index_t begin = run.next.fetch_add(step_, std::memory_order_relaxed);
                if (begin >= run.end) break;
                run_(body_, begin, std::min(begin + step_, run.end), index);
            }
        }
    }

    // Of the job; written while nobody is inside.
    std::vector<Run> runs_;
    index_t step_ = 1;
    const void* body_ = nullptr;
    RunItems run_ = nullptr;
    std::uint32_t job_ = 0;

    std::size_t workers_ = 0;
    alignas(64) std::atomic<State> state_{0};
    alignas(64) std::atomic<int> sleepers_{0};
    std::mutex mutex_;
    std::condition_variable wake_;
};

// Every thread of the host that calls at the same time has a team of its own. Never destroyed: workers use them to
// the end of the process.
struct Teams {
    std::mutex mutex;
    std::vector<Team*> idle;
};
Teams& teams() {
    static Teams* const all = new Teams;
    return *all;
}

Team* acquire() noexcept {
    Teams& all = teams();
    const std::lock_guard lock(all.mutex);
    if (all.idle.empty()) {
        try {
            all.idle.reserve(all.idle.capacity() + 1);  // release must not fail
            return new Team;
        } catch (const std::bad_alloc&) {
            return nullptr;
        }
    }
    Team* team = all.idle.back();
    all.idle.pop_back();
    return team;
}

void release(Team* team) noexcept {
    Teams& all = teams();
    const std::lock_guard lock(all.mutex);
    all.idle.push_back(team);
}

}  // namespace

bool in_team() noexcept { return is_in_team; }

int awake_workers() noexcept { return awake.load(std::memory_order_relaxed); }

void run_on_team(index_t items, int threads, const void* body, RunItems run) noexcept {
    Team* const team = acquire();
    if (!team) return run(body, 0, items, 0);
    is_in_team = true;
    team->run(items, threads, body, run);
    is_in_team = false;
    release(team);
}

}  // namespace fastconv::runtime
