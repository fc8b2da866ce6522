// What one instance's change costs the core loop: `omd-change-cost <objects> <changes>` makes that
// many services on one node in memory, then has one of them go up and down. Under callgrind with
// --instr-atstart=no only the changes are counted; see change_cost.py.
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>

#if __has_include(<valgrind/callgrind.h>)
#include <valgrind/callgrind.h>
#else
#define CALLGRIND_START_INSTRUMENTATION
#define CALLGRIND_STOP_INSTRUMENTATION
#endif

#include "absl/strings/str_cat.h"
#include "server/cluster/embedded_transport.h"
#include "server/core/core.h"
#include "tests/support/fake_clock.h"
#include "tests/support/fake_loop.h"
#include "tests/support/fake_random.h"
#include "tests/support/fake_world.h"

namespace om {
namespace {

constexpr int kWarmUp = 10;  // Changes that are not counted.

std::string NameOf(int i) { return absl::StrCat("service", i); }

int Main(int objects, int changes) {
  FakeClock clock;
  FakeLoop loop(&clock);
  FakeWorld world(&clock, &loop);
  MemoryJournal journal(&loop);
  FakeSecureRandom random;
  EmbeddedTransport transport("n1", &random);
  Counters counters;
  for (int i = 0; i < objects; ++i) world.Add(NameOf(i));
  Core::Options options;
  options.local_node = "n1";
  options.incarnation = "bench";
  options.settings.cluster = {"bench", "id", {"n1"}};
  // What goes on by itself is measured elsewhere.
  options.inventory_interval = std::chrono::hours(1);
  options.max_pass_interval = std::chrono::hours(1);
  auto core =
      std::make_unique<Core>(options, Core::Ports{&loop, &clock, &random, &world, &world, &world,
                                                  &world, &world, &transport, &journal, &counters});
  core->Start({});
  loop.AdvanceBy(std::chrono::seconds(30));
  if (core->snapshot()->local()->monitor.status != status_word::kIdle ||
      core->snapshot()->objects.size() != static_cast<size_t>(objects)) {
    fprintf(stderr, "the node did not come up\n");
    return 1;
  }
  // One that is neither the first nor the last.
  const std::string name = NameOf(objects / 2);
  const ObjectPath path = *ObjectPath::Parse(name);
  Revision last = core->feed()->last();
  int delivered = 0;
  for (int i = 0; i < changes; ++i) {
    if (i == kWarmUp) CALLGRIND_START_INSTRUMENTATION;
    world.Get(name).resources.front().up = i % 2 == 0;
    loop.AdvanceBy(std::chrono::milliseconds(1));
    world.Evaluate(name);
    core->WakeMonitor(path);
    loop.RunReady();
    // A watcher takes the delta, and the new state of what it names.
    const auto delta = core->feed()->ReadAfter(last, 100);
    if (!delta.ok()) return 1;
    for (const auto& change : *delta) {
      last = change->revision;
      for (const ObjectPath& changed : change->objects) {
        if (core->snapshot()->objects.Find(changed) != nullptr) ++delivered;
      }
    }
  }
  CALLGRIND_STOP_INSTRUMENTATION;
  const auto instance = core->snapshot()->objects.Find(path);
  const bool up = instance->aggregate.avail == Availability::kUp;
  printf("%d objects, %d changes, %d told of, %lld passes, %lld of them over everything\n", objects,
         changes, delivered, static_cast<long long>(counters.Get("monitor.passes")->value()),
         static_cast<long long>(counters.Get("monitor.full_passes")->value()));
  if (changes > 0 && (delivered < changes || up != (changes % 2 == 1))) {
    fprintf(stderr, "changes were lost\n");
    return 1;
  }
  return 0;
}

}  // namespace
}  // namespace om

int main(int argc, char** argv) {
  if (argc != 3) {
    fprintf(stderr, "usage: omd-change-cost <objects> <changes>\n");
    return 1;
  }
  return om::Main(atoi(argv[1]), atoi(argv[2]));
}
