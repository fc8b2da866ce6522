#include "tests/server/control/trace_replay.h"

#include <algorithm>
#include <utility>
#include <variant>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "glog/logging.h"
#include "server/state/instance_status.h"

namespace om {
namespace {

constexpr double kEarly = 1.5;
constexpr double kPatience = 3.0;

CrmVerb VerbOf(const std::vector<std::string>& command) {
  const std::string& verb = command[0];
  if (verb == "start") {
    return command.size() > 1 && command[1] == "--rid" ? CrmVerb::kRestartResources
                                                       : CrmVerb::kStart;
  }
  if (verb == "stop") return CrmVerb::kStop;
  if (verb == "shutdown") return CrmVerb::kShutdown;
  if (verb == "restart") return CrmVerb::kRestart;
  if (verb == "provision") return CrmVerb::kProvision;
  if (verb == "unprovision") return CrmVerb::kUnprovision;
  if (verb == "delete") return CrmVerb::kDelete;
  CHECK_EQ(verb, "toc");
  return CrmVerb::kToc;
}

// Adds what `action` does to `object` ("" for the node), in the words of the header.
void AddWords(const Action& action, const std::string& object, Words* words) {
  std::visit(
      [&](const auto& it) {
        using T = std::decay_t<decltype(it)>;
        if constexpr (requires { it.path; }) {
          if (it.path.ToString() != object) return;
        }
        if constexpr (requires { it.slice; }) {
          if (it.slice.ToString() != object) return;
          const bool creates = std::is_same_v<T, CreateSlice>;
          words->insert(creates
                            ? "create"
                            : "set " + absl::StrJoin(it.keywords, " ", absl::PairFormatter("=")));
        }
        if constexpr (std::is_same_v<T, RunCrm>) {
          words->insert(RunWord(it.words));
          if (!it.status.empty()) words->insert("status " + it.status);
        } else if constexpr (std::is_same_v<T, SetFrozen>) {
          words->insert(it.frozen ? "freeze" : "thaw");
        } else if constexpr (std::is_same_v<T, SetMonitor>) {
          if (it.patch.status.has_value()) words->insert("status " + *it.patch.status);
          if (it.patch.local_expect.has_value()) {
            words->insert("local " + OrNone(*it.patch.local_expect));
          }
        } else if constexpr (std::is_same_v<T, ClearOrder>) {
          words->insert("order ends");
        } else if constexpr (std::is_same_v<T, GiveOrder> || std::is_same_v<T, ChangeOrder>) {
          words->insert("order " + it.global_expect);
        } else if constexpr (std::is_same_v<T, EmitEvent>) {
          const std::string of = it.event.path.has_value() ? it.event.path->ToString() : "";
          if (of == object) words->insert(EventWord(it.event.id, it.event.reason));
        } else if (object.empty()) {
          if constexpr (std::is_same_v<T, SetNodeStatus>) words->insert("status " + it.status);
          if constexpr (std::is_same_v<T, ClearNodeOrder>) words->insert("order ends");
        }
      },
      action);
}

}  // namespace

const std::vector<std::string> TraceReplay::kNodes = {"n1", "n2"};

void TraceReplay::MoveTo(double time) {
  const absl::Time target = zero_ + absl::Seconds(time);
  if (target > clock_.Now()) {
    clock_.Advance(absl::ToChronoNanoseconds(target - clock_.Now()));
  }
}

View TraceReplay::MakeView(const std::string& node) {
  View view;
  view.snapshot = &stores_[node]->current();
  view.settings = &settings_;
  view.thread_start = thread_start_[node];
  view.last_shutdown = zero_ - absl::Seconds(1);
  return view;
}

Words TraceReplay::Wanted(const std::string& node, const std::string& object) {
  std::set<ObjectPath> busy;
  for (const auto& [key, command] : running_) {
    if (key.first == node) busy.insert(*ObjectPath::Parse(key.second));
  }
  View view = MakeView(node);
  view.busy = &busy;
  Words words;
  for (const Action& action : Decide(view, node, clock_.Now())) {
    AddWords(action, object, &words);
    const RunCrm* run = std::get_if<RunCrm>(&action);
    if (run != nullptr && run->path.ToString() == object) wanted_runs_[{node, object}] = *run;
  }
  return words;
}

// After a command: what follows from its end, with the instance as it is evaluated then.
Words TraceReplay::WantedAfter(const Step& step) {
  const Key key(step.node, step.object);
  const ObjectPath path = *ObjectPath::Parse(step.object);
  const std::string status = TraceText(step.entries[0]["monitor.status"][1]);
  Words words;
  if (stores_[step.node]->current().objects.Find(path) == nullptr) return words;
  const std::shared_ptr<const ObjectState> object =
      stores_[step.node]->current().objects.Find(path);
  const InstanceState before = *object->instance(step.node);
  const bool deletes = step.command[0] == "delete";
  if (!deletes) ApplyEffect(key, step.command, status);
  const std::shared_ptr<const ObjectState> after = stores_[step.node]->current().objects.Find(path);
  const std::set<ObjectPath> busy;
  View view = MakeView(step.node);
  view.busy = &busy;
  RunCrm run;
  const auto wanted = wanted_runs_.find(key);
  if (wanted != wanted_runs_.end() && wanted->second.words == step.command) {
    run = wanted->second;
  } else {
    run.path = path;
    run.verb = VerbOf(step.command);
    run.words = step.command;
    run.status = before.monitor.status;
    if (run.verb == CrmVerb::kUnprovision && before.monitor.global_expect == expect_word::kPurged) {
      run.verb = CrmVerb::kPurge;
    }
  }
  for (const Action& action :
       AfterCrm(view, step.node, run,
                {!IsFailed(status), deletes ? nullptr : after->instance(step.node)->status.get()},
                clock_.Now())) {
    AddWords(action, step.object, &words);
  }
  return words;
}

// What is wanted if commands on objects, anywhere, that end soon have already had their effect; the
// effect stays if that explains something of what was done.
Words TraceReplay::WithEffectsOf(size_t index) {
  const Step& step = steps_[index];
  for (size_t i = index + 1; i < steps_.size() && steps_[i].time <= step.time + kEarly; ++i) {
    const Step& end = steps_[i];
    if (end.kind != Step::Kind::kOutcome || end.command[0] == "delete") continue;
    const Key key(end.node, end.object);
    if (running_.count(key) == 0) continue;
    const auto object = stores_[end.node]->current().objects.Find(*ObjectPath::Parse(end.object));
    if (object == nullptr || object->instance(end.node) == nullptr) continue;
    const InstanceState before = *object->instance(end.node);
    ApplyEffect(key, end.command, TraceText(end.entries[0]["monitor.status"][1]));
    Words wanted = Wanted(step.node, step.object);
    for (const std::string& word : step.words) {
      if (wanted.count(word) > 0) return wanted;
    }
    Edit(key, [&](InstanceState* instance) { *instance = before; });
  }
  return {};
}

// Who leads is not in the recordings, and follows from what is.
void TraceReplay::Place() {
  for (const std::string& node : kNodes) {
    if (stopped_.count(node) > 0) continue;
    const std::set<ObjectPath> busy;
    View view = MakeView(node);
    view.busy = &busy;
    for (const Action& action : Decide(view, node, clock_.Now())) {
      const SetMonitor* set = std::get_if<SetMonitor>(&action);
      if (set == nullptr || !set->patch.placement.has_value()) continue;
      Edit({node, set->path.ToString()},
           [&](InstanceState* instance) { instance->monitor.placement = *set->patch.placement; });
    }
  }
}

void TraceReplay::Compare(size_t index) {
  const Step& step = steps_[index];
  if (step.kind == Step::Kind::kFact) return;
  if (accepted_.count(index) > 0) {
    ++compared_;
    return;
  }
  const Key key(step.node, step.object);
  Words ours;
  if (step.kind == Step::Kind::kOutcome) {
    if (step.command[0] == "freeze" || step.command[0] == "thaw") return;
    ++compared_;
    ours = WantedAfter(step);
  } else {
    ++compared_;
    ours = Wanted(step.node, step.object);
    if (ours.empty()) ours = WithEffectsOf(index);
  }
  if (ours == step.words) return;
  // We may do at once what took them two passes.
  for (size_t i = index + 1; i < steps_.size(); ++i) {
    const Step& next = steps_[i];
    if (next.time - step.last_time > 2 * kPatience) break;
    if (next.node != step.node || next.object != step.object) continue;
    if (next.kind == Step::Kind::kFact) break;
    Words both = step.words;
    both.insert(next.words.begin(), next.words.end());
    if (both == ours) {
      accepted_.insert(i);
      return;
    }
    break;
  }
  divergences_.push_back({step.time, step.node, step.object, step.words, ours});
}

// What control wants now and nobody has done. `next` is the step that comes next.
void TraceReplay::NoteWishes(size_t next) {
  std::set<std::string> objects = objects_;
  objects.insert("");
  const double time = next == 0 ? steps_[0].time : steps_[next - 1].last_time;
  // The end of a recording is not the end of what happened.
  const double until = next < steps_.size() ? steps_[next].time : time;
  for (const std::string& node : kNodes) {
    for (const std::string& object : objects) {
      const Key key(node, object);
      const Words words = stopped_.count(node) > 0 ? Words() : Wanted(node, object);
      Wish& wish = wishes_[key];
      if (words.empty() || words != wish.words) {
        wish = {time, words};
        told_.erase(key);
      }
      if (words.empty() || until - wish.time <= kPatience) continue;
      // It may just be what the next step does.
      if (next < steps_.size() && steps_[next].node == node && steps_[next].object == object) {
        continue;
      }
      if (told_.insert(key).second) {
        divergences_.push_back({wish.time, node, object, {}, words});
      }
    }
  }
}

std::vector<Divergence> TraceReplay::Run() {
  for (size_t i = 0; i < steps_.size(); ++i) {
    MoveTo(steps_[i].time);
    Place();
    Compare(i);
    Apply(steps_[i]);
    NoteWishes(i + 1);
  }
  return divergences_;
}

}  // namespace om
