#include "server/core/core.h"

#include <signal.h>

#include <algorithm>
#include <type_traits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "glog/logging.h"
#include "server/base/status.h"
#include "server/control/peer_orders.h"
#include "server/core/ownership_table.h"
#include "server/core/pass_scope.h"
#include "server/core/records.h"
#include "server/core/taken_over.h"

namespace om {
namespace {

// One command line takes no more than this of paths; longer lists become several commands.
constexpr size_t kMaxPathListBytes = 64 << 10;
// Records of a rewritten journal are cut at about this size.
constexpr size_t kRewriteItems = 200;
constexpr size_t kRewriteOrders = 20;
// Orders whose state is looked into at each tick.
constexpr size_t kOrdersExplained = 50;
constexpr size_t kChangesRead = 256;
constexpr Duration kDirtyRetry = std::chrono::seconds(2);
// Less is drift, or a clock that is being slewed.
constexpr absl::Duration kClockJump = absl::Milliseconds(500);
// A node that is to be killed is waited for no longer.
constexpr Duration kFenceLimit = std::chrono::seconds(10);
// How often the lock of somebody else's action is looked at.
constexpr Duration kLockPoll = std::chrono::seconds(1);
constexpr Duration kFlagPoll = std::chrono::milliseconds(50);
constexpr size_t kMaxShutdownWaiters = 256;
// Between the time of a file and the time in it.
constexpr absl::Duration kTimeRounding = absl::Seconds(1);
constexpr size_t kMaxLoads = 256;
// Files are listed for one part in so many of the time, but at least that often.
constexpr int kInventoryShare = 100;
constexpr Duration kMaxInventoryPause = std::chrono::seconds(10);
constexpr Duration kStatsInterval = std::chrono::seconds(1);
// Earlier runs of a peer that are remembered, so that what comes late from them is known as such.
constexpr size_t kPastRuns = 8;

// How a command ended; empty: well.
std::string DescribeFailure(const CrmResult& result) {
  if (result.succeeded()) return "";
  if (!result.error.ok())
    return absl::StrCat("could not be run to its end: ", result.error.ToString());
  if (result.signal != 0) return absl::StrCat("was killed by signal ", result.signal);
  return absl::StrCat("exited with status ", result.exit_code);
}

OrderState StateOf(OrderEnd end) {
  switch (end) {
    case OrderEnd::kReached:
      return OrderState::kReached;
    case OrderEnd::kFailed:
      return OrderState::kFailed;
    case OrderEnd::kCancelled:
      return OrderState::kAborted;
  }
  return OrderState::kAborted;
}

absl::Status Stopping() {
  return WithReason(absl::UnavailableError("the daemon is stopping"), "DAEMON_STOPPING");
}

}  // namespace

class Core::Impl : public std::enable_shared_from_this<Core::Impl> {
 public:
  Impl(Options options, const Ports& ports, StateStore* store, OrderTable* orders)
      : options_(std::move(options)),
        ports_(ports),
        store_(store),
        orders_(orders),
        node_(options_.local_node),
        requests_(options_.requests),
        orders_taken_(ports.counters->Get("core.orders_taken")),
        orders_refused_(ports.counters->Get("core.orders_refused")),
        requests_evicted_(ports.counters->Get("core.request_ids_evicted")),
        journal_errors_(ports.counters->Get("journal.errors")),
        bad_records_(ports.counters->Get("journal.bad_records")),
        passes_(ports.counters->Get("monitor.passes")),
        full_passes_(ports.counters->Get("monitor.full_passes")),
        commands_(ports.counters->Get("monitor.commands")),
        failed_commands_(ports.counters->Get("monitor.failed_commands")),
        taken_over_count_(ports.counters->Get("monitor.taken_over")) {}

  // Posts a method call to the loop; false once nothing runs there any more.
  template <class Work>
  bool Post(Work work) {
    return ports_.loop->Post([weak = weak_from_this(), work = std::move(work)]() mutable {
      if (const auto self = weak.lock()) work(self.get());
    });
  }
  // A callback for ports: whatever the thread, `work(impl, result)` runs on the loop.
  template <class T, class Work>
  Done<T> OnLoop(Work work) {
    return [weak = weak_from_this(), loop = ports_.loop, work = std::move(work)](T result) {
      (void)loop->Post([weak, work, result = std::move(result)]() mutable {
        if (const auto self = weak.lock()) work(self.get(), std::move(result));
      });
    };
  }

  // ---- Life ----

  void Start(const std::vector<std::string>& records) {
    if (started_) return;
    started_ = true;
    thread_start_ = ports_.clock->Now();
    clock_zero_ = thread_start_ - absl::FromChrono(ports_.clock->Monotonic().time_since_epoch());
    Replay(records);
    const absl::Status transport = ports_.transport->Start(observer_);
    if (!transport.ok()) LOG(ERROR) << "OM-TRANSPORT-FAILED " << transport;
    ApplySettings(std::move(options_.settings));
    SetNodeStatus(status_word::kInit);
    EmitById("monitor_started");
    ListInventory();
    Tick();
  }

  void Stop(const std::function<void()>& done) {
    if (!stopped_) {
      stopped_ = true;
      ports_.loop->Cancel(tick_timer_);
      if (wake_timer_.has_value()) ports_.loop->Cancel(*wake_timer_);
      AnswerShutdown(Stopping());
      if (started_) ports_.transport->Stop();
    }
    done();
  }

  bool stopped() const { return stopped_; }

  void Tick() {
    if (stopped_) return;
    tick_timer_ = ports_.loop->PostAfter(options_.tick, [weak = weak_from_this()] {
      if (const auto self = weak.lock()) self->Tick();
    });
    const MonotonicTime now = ports_.clock->Monotonic();
    if (now - last_inventory_ >= std::max(options_.inventory_interval, inventory_pause_)) {
      ListInventory();
    }
    if (now - last_sweep_ >= options_.inventory_interval) {
      last_sweep_ = now;
      Sweep();
    }
    if (now - last_stats_ >= kStatsInterval) ReadStats();
    ThawAfterUpgrade();
    CheckShutdown();
    if (!dirty_.empty() && now - last_dirty_try_ >= kDirtyRetry) JournalDirty();
    GiveBack();
    FollowOrders();
    const bool due = now - last_full_pass_ >= options_.max_pass_interval;
    if (due) scope_.WantAll();
    if (wanted_ || due) Pass();
  }

  // ---- Journal ----

  void Replay(const std::vector<std::string>& records) {
    for (const std::string& bytes : records) {
      absl::StatusOr<Record> record = DecodeRecord(bytes);
      if (!record.ok()) {
        bad_records_->Add();
        LOG(ERROR) << "OM-JOURNAL-RECORD " << record.status();
        continue;
      }
      for (OrderRecord& order : record->orders) {
        if (order.global_expect.empty()) {
          recovered_orders_.erase(order.path);
        } else {
          const ObjectPath path = order.path;
          recovered_orders_[path] = std::move(order);
        }
      }
      for (RestartRecord& restart : record->restarts) {
        if (restart.counts.empty()) {
          recovered_restarts_.erase(restart.path);
        } else {
          recovered_restarts_[restart.path] = std::move(restart.counts);
        }
      }
      if (record->node_order.has_value()) recovered_node_order_ = *record->node_order;
      for (OrderProgress& order : record->progress) orders_->Restore(std::move(order));
      if (record->request.has_value()) {
        const RequestTable::Finished& request = *record->request;
        requests_.Restore(request.key, request.answer, request.time);
      }
    }
    requests_.Expire(ports_.clock->Now());
  }

  void Append(Record record, Done<absl::Status> done) {
    record.time = ports_.clock->Now();
    if (compacting_) {
      held_.emplace_back(EncodeRecord(record), std::move(done));
      return;
    }
    AppendBytes(EncodeRecord(record), std::move(done));
  }

  void AppendBytes(std::string bytes, Done<absl::Status> done) {
    ++appends_in_flight_;
    ports_.journal->Append(
        std::move(bytes),
        OnLoop<absl::Status>([done = std::move(done)](Impl* self, const absl::Status& status) {
          --self->appends_in_flight_;
          if (!status.ok()) {
            self->journal_errors_->Add();
            LOG_EVERY_N(ERROR, 100) << "OM-JOURNAL-FAILED " << status;
          }
          done(status);
          if (self->ports_.journal->size_bytes() > self->compact_above_) self->compacting_ = true;
          self->CompactIfQuiet();
        }));
  }

  // The new journal must hold exactly what has taken effect: nothing may be half way.
  void CompactIfQuiet() {
    if (!compacting_ || rewriting_ || appends_in_flight_ > 0) return;
    rewriting_ = true;
    ports_.journal->Rewrite(
        LiveRecords(), OnLoop<absl::Status>([](Impl* self, const absl::Status& status) {
          self->rewriting_ = false;
          self->compacting_ = false;
          if (!status.ok()) LOG(ERROR) << "OM-JOURNAL-COMPACTION " << status;
          // What is live may alone be long; then the next time is at twice that.
          self->compact_above_ = std::max(self->options_.journal_compact_bytes,
                                          2 * self->ports_.journal->size_bytes());
          std::vector<std::pair<std::string, Done<absl::Status>>> held;
          held.swap(self->held_);
          for (auto& [bytes, done] : held) self->AppendBytes(std::move(bytes), std::move(done));
        }));
  }

  std::vector<std::string> LiveRecords() const {
    std::vector<std::string> records;
    Record record;
    record.time = ports_.clock->Now();
    const auto flush = [&] {
      records.push_back(EncodeRecord(record));
      record.orders.clear();
      record.restarts.clear();
      record.request.reset();
      record.node_order.reset();
      record.progress.clear();
    };
    if (const NodeState* local = store_->current().local()) {
      record.node_order =
          NodeOrderRecord{local->monitor.global_expect, local->monitor.global_expect_updated,
                          local->monitor.local_expect};
    }
    const auto add_order = [&](OrderRecord order) {
      record.orders.push_back(std::move(order));
      if (record.orders.size() >= kRewriteItems) flush();
    };
    const auto add_restart = [&](RestartRecord restart) {
      record.restarts.push_back(std::move(restart));
      if (record.restarts.size() >= kRewriteItems) flush();
    };
    store_->current().objects.ForEach([&](const ObjectState& object) {
      const InstanceState* instance = object.instance(node_);
      if (instance == nullptr) return;
      const InstanceMonitor& monitor = instance->monitor;
      if (!monitor.global_expect.empty()) add_order(OrderOf(object.path, monitor));
      if (!monitor.restart.empty()) add_restart({object.path, monitor.restart});
    });
    // Of objects that have not been found yet.
    for (const auto& [path, order] : recovered_orders_) add_order(order);
    for (const auto& [path, counts] : recovered_restarts_) add_restart({path, counts});
    flush();
    for (RequestTable::Finished& request : requests_.All()) {
      record.request = std::move(request);
      flush();
    }
    for (OrderProgress& order : orders_->All()) {
      record.progress.push_back(std::move(order));
      if (record.progress.size() >= kRewriteOrders) flush();
    }
    flush();
    return records;
  }

  static OrderRecord OrderOf(const ObjectPath& path, const InstanceMonitor& monitor) {
    return {path, monitor.global_expect, monitor.order_id, monitor.global_expect_updated};
  }

  // Writes what the journal should say of these paths by now; on failure it is tried again later.
  void JournalCurrent(const std::set<ObjectPath>& paths) {
    Record record;
    record.progress = orders_->TakeUnsaved();
    for (const ObjectPath& path : paths) {
      InstanceMonitor monitor;
      if (const InstanceState* instance = LocalInstance(path)) monitor = instance->monitor;
      record.orders.push_back(OrderOf(path, monitor));
      record.restarts.push_back({path, monitor.restart});
      if (record.orders.size() >= kRewriteItems) {
        AppendCurrent(std::move(record));
        record = Record();
      }
    }
    if (!record.orders.empty() || !record.progress.empty()) AppendCurrent(std::move(record));
  }
  void AppendCurrent(Record record) {
    std::vector<ObjectPath> paths;
    for (const OrderRecord& order : record.orders) paths.push_back(order.path);
    std::vector<std::string> ids;
    for (const OrderProgress& order : record.progress) ids.push_back(order.id);
    Append(std::move(record),
           [this, weak = weak_from_this(), paths, ids](const absl::Status& status) {
             const auto self = weak.lock();
             if (self == nullptr || status.ok()) return;
             dirty_.insert(paths.begin(), paths.end());
             orders_->MarkUnsaved(ids);
           });
  }
  void JournalDirty() {
    last_dirty_try_ = ports_.clock->Monotonic();
    std::set<ObjectPath> paths;
    paths.swap(dirty_);
    JournalCurrent(paths);
  }

  // ---- Requests ----

  // Runs `run` if the request is new; else gives the answer that it had, or will have.
  template <class Answer, class Decode>
  void BeginTyped(const RequestKey& key, const Done<absl::StatusOr<Answer>>& done, Decode decode,
                  const std::function<void()>& run) {
    const auto give = [done, decode](const RequestTable::Answer& answer) {
      if (answer.ok()) {
        done(decode(*answer));
      } else {
        done(answer.status());
      }
    };
    RequestTable::Answer answer = std::string();
    const absl::StatusOr<RequestTable::State> state =
        requests_.Begin(key, ports_.clock->Now(), give, &answer);
    requests_evicted_->Set(requests_.evicted_count());
    if (!state.ok()) {
      done(state.status());
    } else if (*state == RequestTable::State::kAnswered) {
      give(answer);
    } else if (*state == RequestTable::State::kNew) {
      run();
    }
  }

  // Journals `record` with the answer, then applies and answers. Nothing is applied, nor
  // remembered, if the journal does not take it.
  template <class Answer>
  void Commit(const RequestKey& key, Record record, Answer answer, std::function<void()> apply,
              Done<absl::StatusOr<Answer>> done) {
    const bool has_change =
        !record.orders.empty() || !record.restarts.empty() || record.node_order.has_value();
    const std::string encoded = EncodeAnswer(answer);
    if (!has_change && key.request_id.empty()) {
      apply();
      done(std::move(answer));
      return;
    }
    if (commits_in_flight_ >= options_.max_orders_in_progress) {
      Refuse(key,
             WithReason(absl::ResourceExhaustedError(absl::StrCat(
                            commits_in_flight_, " changes wait for the journal already")),
                        "TOO_MANY_ORDERS"),
             done);
      return;
    }
    if (!key.request_id.empty()) {
      record.request = RequestTable::Finished{key, encoded, ports_.clock->Now()};
    }
    ++commits_in_flight_;
    Append(std::move(record), [this, weak = weak_from_this(), key, encoded,
                               answer = std::move(answer), apply = std::move(apply),
                               done = std::move(done)](const absl::Status& status) {
      const auto self = weak.lock();
      if (self == nullptr) return;
      --commits_in_flight_;
      if (!status.ok()) {
        Refuse(key, Annotate(status, "the change could not be made durable and was not made"),
               done);
        return;
      }
      orders_taken_->Add();
      apply();
      requests_.End(key, encoded, ports_.clock->Now());
      done(answer);
    });
  }
  template <class Answer>
  void Refuse(const RequestKey& key, const absl::Status& error,
              const Done<absl::StatusOr<Answer>>& done) {
    orders_refused_->Add();
    requests_.End(key, error, ports_.clock->Now());
    done(error);
  }

  void BeginRequest(const RequestKey& key,
                    const std::function<void(std::optional<absl::StatusOr<std::string>>)>& begun) {
    RequestTable::Answer answer = std::string();
    const absl::StatusOr<RequestTable::State> state = requests_.Begin(
        key, ports_.clock->Now(), [begun](const RequestTable::Answer& given) { begun(given); },
        &answer);
    requests_evicted_->Set(requests_.evicted_count());
    if (!state.ok()) {
      begun(state.status());
    } else if (*state == RequestTable::State::kAnswered) {
      begun(answer);
    } else if (*state == RequestTable::State::kNew) {
      begun(std::nullopt);
    }
  }

  void EndRequest(const RequestKey& key, const RequestTable::Answer& answer,
                  const Done<absl::Status>& done) {
    if (key.request_id.empty() || !RequestTable::IsKept(answer)) {
      requests_.End(key, answer, ports_.clock->Now());
      done(absl::OkStatus());
      return;
    }
    Record record;
    record.request = RequestTable::Finished{key, answer, ports_.clock->Now()};
    Append(std::move(record),
           [this, weak = weak_from_this(), key, answer, done](const absl::Status& status) {
             const auto self = weak.lock();
             if (self == nullptr) return;
             // The deed is done: while this run lasts its answer is known, journalled or not.
             requests_.End(key, answer, ports_.clock->Now());
             done(status);
           });
  }

  // ---- Orders ----

  void SetInstanceMonitor(const InstanceMonitorOrder& order, const RequestKey& key,
                          const Done<absl::StatusOr<OrderAnswer>>& done) {
    BeginTyped<OrderAnswer>(
        key, done, DecodeOrderAnswer, [this, order = order, key, done]() mutable {
          OrderAnswer answer;
          answer.outcomes = CheckOrder(store_->current(), order);
          absl::Time now = ports_.clock->Now();
          std::vector<ObjectPath> paths;
          for (const OrderOutcome& outcome : answer.outcomes) {
            if (outcome.kind == OrderOutcome::Kind::kAccepted && LocalObject(outcome.path)) {
              // Slaves follow the service to the node that was chosen for it.
              if (paths.empty() && order.global_expect.has_value())
                order.global_expect = outcome.value;
              paths.push_back(outcome.path);
              now = OrderTime(*store_->current().objects.Find(outcome.path), now);
            }
          }
          const bool sets = order.status.has_value() || order.local_expect.has_value() ||
                            order.global_expect.has_value() || order.reset_retries ||
                            order.stonith.has_value();
          answer.applied = sets && !paths.empty();
          if (!answer.applied) paths.clear();
          OrderProgress progress;
          Record record;
          for (const ObjectPath& path : paths) {
            progress.parts.push_back({path, OrderState::kRunning, ""});
            if (order.reset_retries) record.restarts.push_back({path, {}});
          }
          const bool ordered = order.global_expect.has_value();
          if (ordered && *order.global_expect == expect_word::kUnset) {
            for (const ObjectPath& path : paths) record.orders.push_back({path, "", "", now});
          } else if (ordered && !paths.empty()) {
            answer.order_id = ports_.secure_random->Uuid();
            progress.id = answer.order_id;
            progress.path = paths.front();
            progress.global_expect = *order.global_expect;
            progress.requester = order.requester;
            progress.node = node_;
            progress.time = now;
            for (const ObjectPath& path : paths) {
              record.orders.push_back({path, *order.global_expect, answer.order_id, now});
            }
            record.progress.push_back(progress);
          }
          Commit<OrderAnswer>(
              key, std::move(record), std::move(answer),
              [this, order, paths, progress] { ApplyOrder(order, paths, progress); }, done);
        });
  }

  // `progress` has no id unless there is an order to carry out.
  void ApplyOrder(const InstanceMonitorOrder& order, const std::vector<ObjectPath>& paths,
                  const OrderProgress& progress) {
    const StateStore::Batch batch(store_);
    const absl::Time now = ports_.clock->Now();
    const absl::Time order_time = progress.id.empty() ? now : progress.time;
    if (!progress.id.empty()) orders_->Begin(progress, /*saved=*/true);
    for (const ObjectPath& path : paths) {
      if (!LocalObject(path)) {
        // Its configuration went away while the journal wrote; the order waits for it to come back.
        if (!progress.id.empty()) {
          recovered_orders_[path] = {path, progress.global_expect, progress.id, order_time};
        }
        continue;
      }
      store_->EditInstance(path, [&](InstanceState* instance) {
        InstanceMonitor& monitor = instance->monitor;
        const auto word = [](const std::string& text) {
          return text == expect_word::kUnset ? std::string() : text;
        };
        if (order.status.has_value()) {
          monitor.status = *order.status;
          monitor.status_updated = now;
        }
        if (order.local_expect.has_value()) {
          monitor.local_expect = word(*order.local_expect);
          monitor.local_expect_updated = now;
          monitor.start_requested = monitor.local_expect == expect_word::kStarted;
        }
        if (order.global_expect.has_value()) {
          monitor.global_expect = word(*order.global_expect);
          monitor.global_expect_updated = order_time;
          monitor.order_id = progress.id;
        }
        if (order.reset_retries) monitor.restart.clear();
        if (order.stonith.has_value()) monitor.stonith = word(*order.stonith);
      });
      if (order.global_expect.has_value() && HasPeers()) Submit(path);
      orders_->Observe(store_->current(), path, joined_);
    }
    PassChanged();
  }

  void PreviewOrder(const InstanceMonitorOrder& order,
                    const Done<absl::StatusOr<OrderPreview>>& done) {
    OrderPreview preview;
    preview.outcomes = CheckOrder(store_->current(), order);
    std::vector<ObjectPath> paths;
    for (const OrderOutcome& outcome : preview.outcomes) {
      if (outcome.kind == OrderOutcome::Kind::kAccepted && LocalObject(outcome.path)) {
        paths.push_back(outcome.path);
      }
    }
    if (!paths.empty()) {
      preview.plan =
          PlanOrder(MakeView(), paths, *order.global_expect, ports_.clock->Now(), paused_);
    }
    done(std::move(preview));
  }

  // Has orders follow what changed since the last time.
  void ObserveChanges() {
    if (orders_->in_progress() == 0) {
      observed_ = store_->current().revision;
      return;
    }
    while (true) {
      const auto changes = store_->feed()->ReadAfter(observed_, kChangesRead);
      if (!changes.ok()) {
        orders_->Observe(store_->current(), joined_);
        observed_ = store_->current().revision;
        return;
      }
      if (changes->empty()) return;
      observed_ = changes->back()->revision;
      for (const auto& change : *changes) {
        for (const ObjectPath& path : change->objects) {
          orders_->Observe(store_->current(), path, joined_);
        }
      }
    }
  }

  // Keeps the orders' records true, and says of those that do not get on why.
  void FollowOrders() {
    orders_->Observe(store_->current(), joined_);
    for (const ObjectPath& path : orders_->NextToExplain(kOrdersExplained)) {
      orders_->Explained(path, Explain(MakeView(), path, ports_.clock->Now(), paused_));
    }
    orders_->Expire();
    if (orders_->has_unsaved() && dirty_.empty()) JournalCurrent({});
  }

  void Submit(const ObjectPath& path) {
    const InstanceMonitor& monitor = LocalInstance(path)->monitor;
    ports_.transport->SubmitOrder(
        {monitor.order_id, path, monitor.global_expect, monitor.global_expect_updated, node_},
        OnLoop<absl::Status>([path](Impl* /*self*/, const absl::Status& status) {
          if (!status.ok())
            LOG(ERROR) << "OM-ORDER-NOT-SPREAD " << path.ToString() << ": " << status;
        }));
  }

  void ClearInstance(const ObjectPath& path, const RequestKey& key,
                     const Done<absl::StatusOr<ClearAnswer>>& done) {
    BeginTyped<ClearAnswer>(key, done, DecodeClearAnswer, [this, path, key, done] {
      ClearAnswer answer;
      const InstanceState* instance = LocalInstance(path);
      Record record;
      if (instance != nullptr) answer.status = instance->monitor.status;
      if (instance == nullptr || !IsTransition(instance->monitor.status)) {
        answer.cleared = true;
        if (instance != nullptr && !instance->monitor.restart.empty()) {
          record.restarts.push_back({path, {}});
        }
      }
      Commit<ClearAnswer>(
          key, std::move(record), answer,
          [this, path, cleared = answer.cleared] {
            const InstanceState* found = LocalInstance(path);
            // Begun meanwhile: then there is nothing to clear any more.
            if (!cleared || found == nullptr || IsTransition(found->monitor.status)) return;
            store_->EditInstance(path, [&](InstanceState* edited) {
              edited->monitor.status = status_word::kIdle;
              edited->monitor.status_updated = ports_.clock->Now();
              edited->monitor.restart.clear();
              // An order that failed here and goes on elsewhere is taken up again.
              if (edited->monitor.global_expect.empty()) {
                edited->monitor.global_expect_updated = absl::Time();
              }
            });
            PassSoon();
          },
          done);
    });
  }

  void SetNodeMonitor(const NodeMonitorOrder& order, const RequestKey& key,
                      const Done<absl::StatusOr<NodeMonitorAnswer>>& done) {
    BeginTyped<NodeMonitorAnswer>(key, done, DecodeNodeMonitorAnswer, [this, order, key, done] {
      const NodeState* local = store_->current().local();
      NodeMonitorAnswer answer;
      if (local != nullptr) answer.monitor = local->monitor;
      const auto word = [](const std::string& text) {
        return text == expect_word::kUnset ? std::string() : text;
      };
      const absl::Time now = ports_.clock->Now();
      Record record;
      if (order.status.has_value()) {
        answer.monitor.status = *order.status;
        answer.monitor.status_updated = now;
      }
      if (order.local_expect.has_value()) answer.monitor.local_expect = word(*order.local_expect);
      // What all nodes are already is not ordered again.
      const bool orders =
          order.global_expect.has_value() && (*order.global_expect != store_->current().frozen ||
                                              !answer.monitor.global_expect.empty());
      if (orders) {
        answer.monitor.global_expect = word(*order.global_expect);
        answer.monitor.global_expect_updated = NodeOrderTime(*store_->current().nodes, now);
      }
      answer.applied = orders || order.local_expect.has_value() || order.status.has_value();
      if (orders || order.local_expect.has_value()) {
        record.node_order =
            NodeOrderRecord{answer.monitor.global_expect, answer.monitor.global_expect_updated,
                            answer.monitor.local_expect};
      }
      Commit<NodeMonitorAnswer>(
          key, std::move(record), answer,
          [this, order, orders, monitor = answer.monitor] {
            store_->EditNode(node_, [&](NodeState* node) {
              if (order.status.has_value()) {
                node->monitor.status = monitor.status;
                node->monitor.status_updated = monitor.status_updated;
              }
              if (order.local_expect.has_value()) node->monitor.local_expect = monitor.local_expect;
              if (orders) {
                node->monitor.global_expect = monitor.global_expect;
                node->monitor.global_expect_updated = monitor.global_expect_updated;
              }
            });
            PassSoon();
          },
          done);
    });
  }

  // ---- Configuration, inventory, files ----

  void ApplySettings(CoreSettings settings) {
    settings_ = std::move(settings);
    const StateStore::Batch batch(store_);
    store_->SetCluster(settings_.cluster);
    store_->EditNode(node_, [&](NodeState* node) {
      node->agent_version = settings_.agent_version;
      node->compat = settings_.compat;
      node->api = settings_.api;
      node->env = settings_.env;
      node->labels = settings_.labels;
      node->targets = settings_.targets;
      node->min_avail_mem_percent = settings_.min_avail_mem_percent;
      node->min_avail_swap_percent = settings_.min_avail_swap_percent;
      node->config_csum = settings_.config_csum;
      node->speaker = true;
      if (recovered_node_order_.has_value()) {
        node->monitor.global_expect = recovered_node_order_->global_expect;
        node->monitor.global_expect_updated = recovered_node_order_->time;
        node->monitor.local_expect = recovered_node_order_->local_expect;
        recovered_node_order_.reset();
      }
    });
    std::vector<std::string> gone;
    for (const auto& [name, node] : *store_->current().nodes) {
      const auto& members = settings_.cluster.nodes;
      if (name != node_ && std::find(members.begin(), members.end(), name) == members.end()) {
        gone.push_back(name);
      }
    }
    for (const std::string& name : gone) store_->EraseNode(name);
    ChooseSpeaker();
    PassSoon();
  }

  // The first known node in alphabetical order speaks for the cluster.
  void ChooseSpeaker() {
    const NodeTable& nodes = *store_->current().nodes;
    if (nodes.empty()) return;
    const bool speaker = nodes.begin()->first == node_;
    store_->EditNode(node_, [&](NodeState* node) { node->speaker = speaker; });
  }

  bool HasPeers() const { return settings_.cluster.nodes.size() > 1; }

  void ListInventory() {
    if (listing_) {
      list_again_ = true;
      return;
    }
    listing_ = true;
    last_inventory_ = ports_.clock->Monotonic();
    const std::set<ObjectPath> waiting = std::exchange(busy_until_listed_, {});
    ports_.inventory->List(OnLoop<absl::StatusOr<Inventory>>(
        [waiting](Impl* self, const absl::StatusOr<Inventory>& inventory) {
          self->listing_ = false;
          if (self->stopped_) return;
          // With very many files looking for changes shall not be all that the node does.
          self->inventory_pause_ = std::min<Duration>(
              kInventoryShare * (self->ports_.clock->Monotonic() - self->last_inventory_),
              kMaxInventoryPause);
          if (inventory.ok()) {
            self->ApplyInventory(*inventory);
          } else {
            LOG_EVERY_N(ERROR, 60) << "OM-INVENTORY-FAILED " << inventory.status();
          }
          for (const ObjectPath& path : waiting) self->busy_.erase(path);
          if (!waiting.empty()) self->PassSoon();
          // Even without a list the node must come up: what it cannot see it does not touch.
          self->EvaluateAll();
          if (self->options_.listed) std::exchange(self->options_.listed, nullptr)();
          if (std::exchange(self->list_again_, false)) self->ListInventory();
        }));
  }

  void ApplyInventory(const Inventory& inventory) {
    if (inventory.unchanged) return;
    const StateStore::Batch batch(store_);
    bool changed = false;
    store_->EditNode(node_, [&](NodeState* node) {
      changed = node->frozen_since != inventory.node_frozen_since;
      node->frozen_since = inventory.node_frozen_since;
    });
    std::set<ObjectPath> present;
    for (const InventoryItem& item : inventory.items) {
      present.insert(item.path);
      const std::shared_ptr<const ObjectState> old = store_->current().objects.Find(item.path);
      const ObjectConfig* known = old == nullptr ? nullptr : old->config(node_);
      if (known != nullptr && *known == item.config) continue;
      changed = true;
      const bool rewritten = known != nullptr && known->csum != item.config.csum;
      store_->EditObject(item.path, [&](ObjectState* object) {
        object->configs[node_] = item.config;
        InstanceState& instance = object->instances[node_];
        if (known == nullptr) Recover(item.path, &instance.monitor);
      });
      if (known == nullptr) {
        LoadInstance(item.path);
      } else if (rewritten && joined_) {
        Refresh(item.path);
      }
    }
    std::vector<ObjectPath> gone;
    store_->current().objects.ForEach([&](const ObjectState& object) {
      if (object.config(node_) == nullptr || present.count(object.path) != 0) return;
      if (busy_.count(object.path) == 0) {
        gone.push_back(object.path);
      } else {
        ports_.inventory->SayEverything();  // It goes when what runs on it has ended.
      }
    });
    for (const ObjectPath& path : gone) {
      changed = true;
      unevaluated_.erase(path);
      const InstanceState* instance = LocalInstance(path);
      const bool journalled = instance != nullptr && (!instance->monitor.global_expect.empty() ||
                                                      !instance->monitor.restart.empty());
      store_->EditObject(path, [&](ObjectState* object) {
        object->configs.erase(node_);
        object->instances.erase(node_);
      });
      if (journalled) JournalCurrent({path});
    }
    if (changed) PassSoon();
  }

  // What the journal says of an object that has just been found.
  void Recover(const ObjectPath& path, InstanceMonitor* monitor) {
    const absl::Time now = ports_.clock->Now();
    monitor->status_updated = now;  // Of orders nothing is known: any that a peer has is later.
    if (const auto it = recovered_orders_.find(path); it != recovered_orders_.end()) {
      monitor->global_expect = it->second.global_expect;
      monitor->order_id = it->second.order_id;
      monitor->global_expect_updated = it->second.time;
      LOG(INFO) << path.ToString() << ": order " << monitor->order_id << " "
                << monitor->global_expect << " is taken up again";
      recovered_orders_.erase(it);
      ordered_.insert(path);
    }
    if (const auto it = recovered_restarts_.find(path); it != recovered_restarts_.end()) {
      monitor->restart = std::move(it->second);
      recovered_restarts_.erase(it);
    }
  }

  bool LocalObject(const ObjectPath& path) const {
    const std::shared_ptr<const ObjectState> object = store_->current().objects.Find(path);
    return object != nullptr && object->config(node_) != nullptr;
  }
  // Valid until the object is next edited.
  const InstanceState* LocalInstance(const ObjectPath& path) const {
    const std::shared_ptr<const ObjectState> object = store_->current().objects.Find(path);
    return object == nullptr ? nullptr : object->instance(node_);
  }

  void LoadInstance(const ObjectPath& path) {
    if (!loading_.insert(path).second) {
      load_again_.insert(path);
      return;
    }
    waiting_loads_.push_back(path);
    BeginLoads();
  }
  // The workers have other things to do, and a bounded queue.
  void BeginLoads() {
    while (!waiting_loads_.empty() && loads_in_flight_ < kMaxLoads) {
      const ObjectPath path = waiting_loads_.front();
      waiting_loads_.pop_front();
      ++loads_in_flight_;
      Load(path, [this, path] {
        --loads_in_flight_;
        loading_.erase(path);
        if (load_again_.erase(path) != 0) LoadInstance(path);
        BeginLoads();
        Joined();
      });
    }
  }

  // Reads the files of an instance, applies them, then runs `then`.
  void Load(const ObjectPath& path, std::function<void()> then) {
    std::optional<absl::Time> known;
    if (const InstanceState* instance = LocalInstance(path); instance && instance->status) {
      known = instance->status->updated;
    }
    ports_.instances->Load(path, known,
                           OnLoop<absl::StatusOr<LoadedInstance>>(
                               [path, then = std::move(then)](
                                   Impl* self, const absl::StatusOr<LoadedInstance>& loaded) {
                                 if (self->stopped_) return;
                                 self->ApplyLoaded(path, loaded);
                                 then();
                               }));
  }

  void ApplyLoaded(const ObjectPath& path, const absl::StatusOr<LoadedInstance>& loaded) {
    if (!loaded.ok()) {
      LOG_EVERY_N(ERROR, 100) << "OM-INSTANCE-UNREADABLE " << path.ToString() << ": "
                              << loaded.status();
      return;
    }
    if (!LocalObject(path)) return;
    const Revision before = store_->current().revision;
    store_->EditInstance(path, [&](InstanceState* instance) {
      // A file that is gone, or broken, does not undo what was known.
      const bool news =
          loaded->status != nullptr &&
          (instance->status == nullptr || instance->status->updated != loaded->status->updated);
      if (news) instance->status = loaded->status;
      instance->frozen_since = loaded->frozen_since;
    });
    if (store_->current().revision != before) PassChanged();
    NoteAction(path, loaded->action);
    NoteEvaluation(path);
    if (!joined_ || !path.is_service() || busy_.count(path) != 0) return;
    const std::shared_ptr<const ObjectState> object = store_->current().objects.Find(path);
    const ObjectConfig& config = *object->config(node_);
    if (object->instance(node_)->status == nullptr && refreshed_[path] != config.csum) {
      Refresh(path);
    }
  }

  // Looks at instances' files although nothing said that they changed: flags made by hand, missed
  // notices.
  void Sweep() {
    if (!joined_) return;
    const auto next = store_->current().objects.After(
        sweep_position_.empty() ? nullptr : &sweep_position_, options_.sweep_size);
    for (const auto& object : next) {
      if (object->config(node_) != nullptr && busy_.count(object->path) == 0) {
        LoadInstance(object->path);
      }
    }
    sweep_position_ = next.size() < options_.sweep_size ? ObjectPath() : next.back()->path;
  }

  // ---- Actions of others ----

  // What the lock of the instance says, as its files were read.
  void NoteAction(const ObjectPath& path, const std::optional<ActionHolder>& holder) {
    if (!path.is_service()) return;
    const TakenOverActions::Action* known = taken_over_.Find(path);
    if (known == nullptr && busy_.count(path) != 0) return;  // A command of ours.
    if (given_up_.count(path) != 0) return;
    // The clean-up after a reboot is ours, too.
    if (running_batches_ > 0 && holder.has_value() && holder->intent == "boot") return;
    const std::string verb = holder.has_value() ? holder->intent : "";
    switch (taken_over_.Note(path, holder, LimitOf(path, verb), ports_.clock->Monotonic())) {
      case TakenOverActions::Step::kNone:
        if (known == nullptr) ExpireWord(path);
        return;
      case TakenOverActions::Step::kBegan:
        return TakeOver(path, *holder);
      case TakenOverActions::Step::kGoesOn:
        return;
      case TakenOverActions::Step::kTerminate:
        LOG(WARNING) << "OM-ORPHAN-TIMEOUT " << path.ToString() << ": " << holder->intent
                     << ", left by a daemon that is gone, takes too long and is ended, process "
                     << holder->pid;
        ports_.instances->SignalAction(path, holder->pid, SIGTERM);
        return;
      case TakenOverActions::Step::kKill:
        ports_.instances->SignalAction(path, holder->pid, SIGKILL);
        return;
      case TakenOverActions::Step::kEnded:
        return EvaluateTakenOver(path);
    }
  }

  // Shows the action and leaves the instance alone until its end.
  void TakeOver(const ObjectPath& path, const ActionHolder& holder) {
    busy_.insert(path);
    taken_over_count_->Add();
    LOG(INFO) << path.ToString() << ": " << (holder.intent.empty() ? "an action" : holder.intent)
              << " of " << (holder.from_daemon ? "a daemon" : "somebody") << ", process "
              << holder.pid << ", is under way";
    const std::string word = ProgressWord(holder.intent);
    const InstanceState* instance = LocalInstance(path);
    if (!word.empty() && instance != nullptr && instance->monitor.status != word) {
      SetStatusWord(path, word);
    }
    PassChanged();
    if (!polling_) PollTakenOver();
  }

  void PollTakenOver() {
    polling_ = !stopped_ && !taken_over_.Running().empty();
    if (!polling_) return;
    (void)ports_.loop->PostAfter(kLockPoll, [weak = weak_from_this()] {
      const auto self = weak.lock();
      if (self == nullptr || self->stopped_) return;
      for (const ObjectPath& path : self->taken_over_.Running()) self->LoadInstance(path);
      self->PollTakenOver();
    });
  }

  // Its lock is free. What it wrote last may be from before its end, or it was killed: what counts
  // is what the instance is now.
  void EvaluateTakenOver(const ObjectPath& path) {
    CrmCommand command = StatusCommand(path);
    commands_->Add();
    ports_.crm->Run(
        std::move(command), OnLoop<CrmResult>([path](Impl* self, const CrmResult& result) {
          if (!result.error.ok()) {
            LOG(ERROR) << "OM-STATUS-FAILED " << path.ToString() << ": " << result.error;
          }
          if (self->stopped_) return;
          self->Load(path, [self, path, evaluated = result.error.ok()] {
            self->FinishTakenOver(path, evaluated);
          });
        }));
  }

  void FinishTakenOver(const ObjectPath& path, bool evaluated) {
    const TakenOverActions::Action* known = taken_over_.Find(path);
    if (known == nullptr || !known->ended) return;  // Another one has begun meanwhile.
    const TakenOverActions::Action action = *taken_over_.Finish(path);
    busy_.erase(path);
    const StateStore::Batch batch(store_);
    PassChanged();
    const InstanceState* instance = LocalInstance(path);
    if (instance == nullptr) return;
    LOG(INFO) << path.ToString() << ": " << action.holder.intent << ", process "
              << action.holder.pid << ", has ended";
    std::optional<RunCrm> command;
    if (action.holder.from_daemon && evaluated) command = CommandOf(path, action.holder);
    if (command.has_value()) {
      CrmOutcome outcome;
      outcome.succeeded = !action.told_to_end;
      outcome.status = instance->status.get();
      std::vector<Action> actions =
          AfterCrm(MakeView(), node_, *command, outcome, ports_.clock->Now());
      for (Action& one : actions) {
        auto* set = std::get_if<SetMonitor>(&one);
        // How it ended is not known. What was ordered and is not so is tried again, and fails then
        // if it must.
        if (set != nullptr && outcome.succeeded && IsFailed(set->patch.status.value_or(""))) {
          set->patch.status = status_word::kIdle;
        }
      }
      Apply(actions);
    }
    instance = LocalInstance(path);
    // A person's command says itself how it ended, unless it was killed.
    if (instance != nullptr && instance->monitor.status == ProgressWord(action.holder.intent)) {
      SetStatusWord(path, status_word::kIdle);
    }
  }

  // A word that says that something is in progress, when nothing is: whoever set it has died.
  void ExpireWord(const ObjectPath& path) {
    const InstanceState* instance = LocalInstance(path);
    if (instance == nullptr || !IsTransition(instance->monitor.status)) return;
    const Duration limit = LimitOf(path, "");
    const absl::Duration age = ports_.clock->Now() - instance->monitor.status_updated;
    if (limit <= Duration::zero() || age < absl::FromChrono(limit)) return;
    LOG(WARNING) << "OM-STATUS-EXPIRED " << path.ToString() << ": monitor status "
                 << instance->monitor.status << " since " << absl::FormatDuration(age)
                 << ", and nothing is done: idle";
    SetStatusWord(path, status_word::kIdle);
    PassChanged();
  }

  void SetStatusWord(const ObjectPath& path, const std::string& word) {
    store_->EditInstance(path, [&](InstanceState* instance) {
      instance->monitor.status = word;
      instance->monitor.status_updated = ports_.clock->Now();
    });
  }

  // A command of ours met somebody else's action, which came first.
  void YieldToOther(const ObjectPath& path) {
    busy_.erase(path);
    command_known_.erase(path);
    const InstanceState* instance = LocalInstance(path);
    if (instance != nullptr && IsTransition(instance->monitor.status)) {
      SetStatusWord(path, status_word::kIdle);
    }
    LoadInstance(path);  // Takes it over, or finds that it has ended.
    wanted_ = true;      // For the next tick.
  }

  // How long a command with that verb may take on the instance; "": any of them. 0: no limit.
  Duration LimitOf(const ObjectPath& path, const std::string& verb) const {
    const std::shared_ptr<const ObjectState> object = store_->current().objects.Find(path);
    const ObjectConfig* config = object == nullptr ? nullptr : object->config(node_);
    if (config == nullptr) return settings_.crm_timeout;
    const absl::Duration limit = TimeLimit(config->limits, verb);
    if (limit <= absl::ZeroDuration()) return settings_.crm_timeout;
    return absl::ToChronoNanoseconds(limit);
  }

  CrmCommand StatusCommand(const ObjectPath& path) const {
    CrmCommand command;
    command.paths = {path};
    command.words = {"status", "--refresh", "--waitlock=0"};
    command.local = false;
    command.timeout = settings_.status_timeout;
    return command;
  }

  // Has the resource manager evaluate one instance.
  void Refresh(const ObjectPath& path) {
    if (!path.is_service() || !LocalObject(path)) return;
    const InstanceState* instance = LocalInstance(path);
    if (instance == nullptr || IsTransition(instance->monitor.status)) return;
    if (!refreshing_.insert(path).second) return;
    refreshed_[path] = store_->current().objects.Find(path)->config(node_)->csum;
    CrmCommand command = StatusCommand(path);
    commands_->Add();
    const auto unconfirmed = unconfirmed_.find(path);
    const uint64_t confirms =
        unconfirmed == unconfirmed_.end() || busy_.count(path) != 0 ? 0 : unconfirmed->second;
    const absl::Time known = instance->status == nullptr ? absl::Time() : instance->status->updated;
    ports_.crm->Run(
        std::move(command),
        OnLoop<CrmResult>([path, confirms, known](Impl* self, const CrmResult& result) {
          self->refreshing_.erase(path);
          if (!result.error.ok()) {
            LOG(ERROR) << "OM-STATUS-FAILED " << path.ToString() << ": " << result.error;
          }
          if (self->stopped_) return;
          if (self->busy_.count(path) != 0) return self->LoadBeside(path);
          if (confirms == 0) return self->LoadInstance(path);
          self->Load(path, [self, path, confirms, known] { self->Confirm(path, confirms, known); });
        }));
  }

  // Reads an evaluation that was made while a command is under way: it may be of before what the
  // command does, and must not be taken for the evaluation at its end.
  void LoadBeside(const ObjectPath& path) {
    Load(path, [this, path] {
      const auto command = command_known_.find(path);
      const InstanceState* instance = LocalInstance(path);
      if (command == command_known_.end() || instance == nullptr || instance->status == nullptr) {
        return;
      }
      command->second = instance->status->updated;
    });
  }

  // ---- Coming up ----

  // The first evaluation of everything; once.
  void EvaluateAll() {
    if (evaluating_ || joined_) return;
    evaluating_ = true;
    evaluation_start_ = ports_.clock->Now();
    FreezeAtStart();
    auto batches = std::make_shared<std::vector<Batch>>();
    size_t bytes = 0;
    store_->current().objects.ForEach([&](const ObjectState& object) {
      if (!object.path.is_service() || object.config(node_) == nullptr) return;
      bytes += object.path.ToString().size() + 1;
      if (batches->empty() || bytes > kMaxPathListBytes) {
        batches->emplace_back();
        bytes = object.path.ToString().size() + 1;
      }
      refreshed_[object.path] = object.config(node_)->csum;
      unevaluated_.insert(object.path);
      batches->back().paths.push_back(object.path);
    });
    running_batches_ = batches->size();
    EvaluateNext(batches, 0);
  }

  struct Batch {
    std::vector<ObjectPath> paths;
    bool left = false;  // The next one has been begun.
  };
  using Batches = std::shared_ptr<std::vector<Batch>>;

  // One command after the other; but one that hangs is not waited for longer than it deserves.
  void EvaluateNext(const Batches& batches, size_t index) {
    if (index == batches->size()) {
      evaluated_ = true;
      if (running_batches_ == 0) Booted();
      for (const Batch& batch : *batches) {
        for (const ObjectPath& path : batch.paths) LoadInstance(path);
      }
      Joined();
      return;
    }
    CrmCommand command;
    command.paths = (*batches)[index].paths;
    if (options_.start.rebooted) {
      command.words = {"boot", "--parallel"};
      command.timeout = settings_.crm_timeout;
    } else {
      command.words = {"status", "--parallel", "--refresh"};
      command.local = false;
      command.timeout = settings_.status_timeout;
    }
    commands_->Add();
    ports_.crm->Run(std::move(command),
                    OnLoop<CrmResult>([batches, index](Impl* self, const CrmResult& result) {
                      if (self->stopped_) return;
                      // Its exit status is that of the instances; nodes join whatever it is.
                      if (!result.error.ok()) LOG(ERROR) << "OM-STATUS-FAILED " << result.error;
                      self->BatchEnded(batches, index);
                    }));
    (void)ports_.loop->PostAfter(options_.evaluation_patience, [weak = weak_from_this(), batches,
                                                                index] {
      const auto self = weak.lock();
      if (self == nullptr || self->stopped_ || (*batches)[index].left) return;
      LOG(WARNING) << "OM-EVALUATION-SLOW the first evaluation of instances takes long; what it "
                      "has not looked at yet is left alone until it has";
      self->LeaveBatch(batches, index);
    });
  }
  void LeaveBatch(const Batches& batches, size_t index) {
    if (!std::exchange((*batches)[index].left, true)) EvaluateNext(batches, index + 1);
  }
  void BatchEnded(const Batches& batches, size_t index) {
    --running_batches_;
    for (const ObjectPath& path : (*batches)[index].paths) {
      evaluate_again_.insert(path);
      if (evaluated_) LoadInstance(path);
    }
    if (running_batches_ == 0 && evaluated_) Booted();
    LeaveBatch(batches, index);
  }

  // The files of an instance have been read for the first time since its evaluation ended. One that
  // wrote nothing is evaluated once more, alone; then it is known as well as it can be.
  void NoteEvaluation(const ObjectPath& path) {
    if (unevaluated_.count(path) == 0) return;
    const InstanceState* instance = LocalInstance(path);
    const bool fresh = instance != nullptr && instance->status != nullptr &&
                       instance->status->updated + kTimeRounding >= evaluation_start_;
    if (instance == nullptr || fresh) {
      evaluate_again_.erase(path);
      Evaluated(path);
    } else if (evaluated_ && evaluate_again_.erase(path) != 0) {
      commands_->Add();
      ports_.crm->Run(StatusCommand(path), OnLoop<CrmResult>([path](Impl* self, const CrmResult&) {
                        if (self->stopped_) return;
                        self->Load(path, [self, path] { self->Evaluated(path); });
                      }));
    }
  }
  void Evaluated(const ObjectPath& path) {
    if (unevaluated_.erase(path) == 0) return;
    scope_.Want(path);
    PassChanged();
  }

  void Booted() {
    if (!options_.start.rebooted || std::exchange(booted_, true)) return;
    if (options_.booted) options_.booted();
  }

  void FreezeAtStart() {
    const StartFacts& start = options_.start;
    const bool frozen = store_->current().local()->frozen();
    const char* reason = nullptr;
    if (start.rebooted && start.freeze_node) reason = "kern_freeze";
    if (start.after_upgrade) reason = "upgrade";
    if (reason == nullptr || frozen) return;
    thaw_after_upgrade_ = start.after_upgrade;
    FreezeNode(true, reason);
  }
  void FreezeNode(bool frozen, const char* reason) {
    Event event;
    event.id = frozen ? "node_freeze" : "node_thaw";
    event.reason = reason;
    Emit(event);
    CountedMap none;
    Do(SetNodeFrozen{frozen}, &none);
  }

  // What was frozen for an upgrade is thawed once every node is back, unless somebody has given
  // another order meanwhile.
  void ThawAfterUpgrade() {
    if (!thaw_after_upgrade_ || !joined_) return;
    const NodeState& local = *store_->current().local();
    if (local.monitor.global_expect_updated > thread_start_ || !local.frozen()) {
      thaw_after_upgrade_ = false;
      return;
    }
    const NodeTable& nodes = *store_->current().nodes;
    const auto& members = settings_.cluster.nodes;
    const bool all_here = std::all_of(members.begin(), members.end(),
                                      [&](const auto& name) { return nodes.count(name) != 0; });
    if (!all_here || local.monitor.status != status_word::kIdle) return;
    thaw_after_upgrade_ = false;
    FreezeNode(false, "upgrade");
  }

  // Leaves `init` once the evaluations have been read, and the flag of the node is as it must be.
  void Joined() {
    if (joined_ || !evaluated_ || !loading_.empty()) return;
    if (node_flag_busy_) {
      (void)ports_.loop->PostAfter(kFlagPoll, [weak = weak_from_this()] {
        if (const auto self = weak.lock()) self->Joined();
      });
      return;
    }
    joined_ = true;
    if (store_->current().local()->monitor.status == status_word::kInit) {
      SetNodeStatus(status_word::kRejoin);
    }
    if (!shutdown_waiters_.empty()) BeginShutdown();
    PassSoon();
  }

  // ---- Shutting down ----

  void Shutdown(Done<absl::StatusOr<ShutdownAnswer>> done) {
    if (shutdown_waiters_.size() >= kMaxShutdownWaiters) {
      return done(WithReason(absl::ResourceExhaustedError(absl::StrCat(
                                 kMaxShutdownWaiters, " callers wait for the shutdown already")),
                             "TOO_MANY_ORDERS"));
    }
    if (shut_down_) return done(ShutdownResult());
    shutdown_waiters_.push_back(std::move(done));
    if (shutdown_waiters_.size() == 1 && joined_) BeginShutdown();
  }

  void BeginShutdown() {
    LOG(INFO) << "shutting down the instances of this node";
    shutdown_start_ = ports_.clock->Monotonic();
    Pause(false);  // A stopped monitor would keep them up.
    SetNodeStatus(status_word::kShutting);
    PassSoon();
  }

  void CheckShutdown() {
    if (shut_down_ || shutdown_waiters_.empty() || !joined_) return;
    if (store_->current().local()->monitor.status != status_word::kShutting) {
      return AnswerShutdown(
          WithReason(absl::AbortedError(absl::StrCat("the node monitor was set to \"",
                                                     store_->current().local()->monitor.status,
                                                     "\" during the shutdown")),
                     "SHUTDOWN_CANCELLED"));
    }
    // What a person does not let go of is left to the person.
    const Duration age = ports_.clock->Monotonic() - shutdown_start_;
    for (const ObjectPath& path : taken_over_.Running()) {
      const Duration limit = LimitOf(path, "");
      if (limit <= Duration::zero() || age < limit) continue;
      LOG(WARNING) << "OM-SHUTDOWN-LEFT " << path.ToString() << ": "
                   << taken_over_.Find(path)->holder.intent << " still runs and is not waited for";
      (void)taken_over_.Finish(path);
      given_up_.insert(path);
      busy_.erase(path);
      SetStatusWord(path, status_word::kShutdownFailed);
      store_->EditInstance(path,
                           [](InstanceState* instance) { instance->monitor.local_expect.clear(); });
      PassSoon();
    }
    if (!wanted_ && unevaluated_.empty() && ShutdownFinished(MakeView(), node_)) {
      shut_down_ = true;
      AnswerShutdown(ShutdownResult());
    }
  }

  void AnswerShutdown(const absl::StatusOr<ShutdownAnswer>& answer) {
    std::vector<Done<absl::StatusOr<ShutdownAnswer>>> waiters;
    waiters.swap(shutdown_waiters_);
    for (const auto& done : waiters) done(answer);
  }

  ShutdownAnswer ShutdownResult() const {
    ShutdownAnswer answer;
    store_->current().objects.ForEach([&](const ObjectState& object) {
      const InstanceState* instance = object.instance(node_);
      if (!object.path.is_service() || instance == nullptr) return;
      if (instance->monitor.status == status_word::kShutdownFailed) {
        answer.failed.push_back(object.path);
      }
    });
    return answer;
  }

  void ReadStats() {
    if (reading_stats_) return;
    reading_stats_ = true;
    last_stats_ = ports_.clock->Monotonic();
    ports_.stats->Read(
        OnLoop<absl::StatusOr<NodeStats>>([](Impl* self, const absl::StatusOr<NodeStats>& stats) {
          self->reading_stats_ = false;
          if (!stats.ok() || self->stopped_) return;
          const bool before = self->store_->current().local()->overloaded();
          self->store_->EditNode(self->node_, [&](NodeState* node) { node->stats = *stats; });
          // Other figures change all the time; the next pass over everything sees them.
          if (self->store_->current().local()->overloaded() != before) self->PassSoon();
        }));
  }

  // ---- The monitor ----

  // A pass over everything in a moment, because something outside changed. What a pass itself
  // changes does not call for another one.
  void PassSoon() {
    scope_.WantAll();
    PassChanged();
  }
  // The same over the objects that changed in the store, or entered or left `busy_`, and over what
  // depends on them.
  void PassChanged() {
    wanted_ = true;
    if (pass_posted_ || passing_ || stopped_) return;
    pass_posted_ = Post([](Impl* self) {
      self->pass_posted_ = false;
      if (self->wanted_) self->Pass();
    });
  }

  void Pass() {
    if (stopped_ || !started_) return;
    wanted_ = false;
    last_pass_ = ports_.clock->Monotonic();
    if (paused_) return;
    FollowWallClock();
    passing_ = true;
    passes_->Add();
    MergeOrders();
    {
      View view = MakeView();
      std::set<ObjectPath> only;
      if (TakeScope(&only)) view.only = &only;
      const StateStore::Batch batch(store_);
      Apply(Decide(view, node_, ports_.clock->Now()));
    }
    // Something may have waited for its turn: the end of any of these can be it.
    if (busy_.size() >= static_cast<size_t>(std::max(settings_.control.max_parallel, 1))) {
      scope_.WantAll();
    }
    ConfirmHeld();
    ObserveChanges();
    Publish();
    passing_ = false;
  }

  // Whether the pass is over some objects only.
  bool TakeScope(std::set<ObjectPath>* only) {
    StateStore::Touched touched = store_->TakeTouched();
    for (const ObjectPath& path : touched.objects) scope_.Want(path);
    const NodeState* local = store_->current().local();
    if (!options_.partial_passes || touched.nodes ||
        (local != nullptr && local->monitor.status == status_word::kShutting)) {
      scope_.WantAll();
    }
    if (scope_.Take(store_->current(), busy_, only)) return true;
    last_full_pass_ = last_pass_;
    full_passes_->Add();
    return false;
  }

  // Periods are compared on the wall clock, which may be set: those under way begin anew, so that
  // none is cut short, or lasts for as long as the clock went back.
  void FollowWallClock() {
    const absl::Time now = ports_.clock->Now();
    const absl::Time zero = now - absl::FromChrono(ports_.clock->Monotonic().time_since_epoch());
    const absl::Duration jump = zero - std::exchange(clock_zero_, zero);
    if (absl::AbsDuration(jump) < kClockJump) return;
    thread_start_ += jump;
    scope_.WantAll();
    std::vector<ObjectPath> ready;
    store_->current().objects.ForEach([&](const ObjectState& object) {
      const InstanceState* instance = object.instance(node_);
      if (instance != nullptr && instance->monitor.status == status_word::kReady) {
        ready.push_back(object.path);
      }
    });
    const StateStore::Batch batch(store_);
    for (const ObjectPath& path : ready) {
      store_->EditInstance(path,
                           [&](InstanceState* edited) { edited->monitor.status_updated = now; });
    }
  }

  View MakeView() {
    View view;
    view.snapshot = &store_->current();
    view.settings = &settings_.control;
    view.busy = &busy_;
    view.ownership = HasOwnership()
                         ? &ownership_.ForView(ports_.clock->Now(), ports_.clock->Monotonic())
                         : nullptr;
    view.unevaluated = &unevaluated_;
    view.thread_start = thread_start_;
    if (!options_.start.after_upgrade) {
      view.last_shutdown = options_.start.last_shutdown.value_or(absl::UnixEpoch());
    }
    return view;
  }

  void Publish() {
    if (!HasPeers() || store_->current().revision == published_) return;
    published_ = store_->current().revision;
    auto dataset = std::make_shared<NodeDataset>();
    dataset->node = *store_->current().local();
    dataset->generation = ToNumber(published_);
    dataset->incarnation = store_->incarnation();
    store_->current().objects.ForEach([&](const ObjectState& object) {
      if (const ObjectConfig* config = object.config(node_))
        dataset->configs[object.path] = *config;
      if (const InstanceState* instance = object.instance(node_)) {
        dataset->instances[object.path] = *instance;
      }
    });
    ports_.transport->Publish(std::move(dataset));
  }

  // Counters that must be durable before the commands that they count.
  struct Counted {
    std::map<std::string, int> before;
    std::map<std::string, int> after;
  };

  void Apply(const std::vector<Action>& actions) {
    std::map<ObjectPath, Counted> counted;
    for (const Action& action : actions) {
      std::visit([&](const auto& one) { Do(one, &counted); }, action);
    }
    std::set<ObjectPath> paths;  // Counted, without a command.
    for (const auto& [path, counts] : counted) paths.insert(path);
    if (!paths.empty()) JournalCurrent(paths);
  }
  using CountedMap = std::map<ObjectPath, Counted>;

  void Do(const SetMonitor& action, CountedMap* counted) {
    const InstanceState* instance = LocalInstance(action.path);
    if (instance == nullptr) return;
    if (action.patch.restart.has_value()) {
      (*counted)[action.path] = {instance->monitor.restart, *action.patch.restart};
    }
    store_->EditInstance(action.path, [&](InstanceState* edited) {
      InstanceMonitor& monitor = edited->monitor;
      if (action.patch.status.has_value()) {
        monitor.status = *action.patch.status;
        monitor.status_updated = ports_.clock->Now();
      }
      if (action.patch.local_expect.has_value()) {
        monitor.local_expect = *action.patch.local_expect;
        monitor.local_expect_updated = ports_.clock->Now();
      }
      if (action.patch.restart.has_value()) monitor.restart = *action.patch.restart;
      if (action.patch.placement.has_value()) monitor.placement = *action.patch.placement;
      if (action.patch.stonith.has_value()) monitor.stonith = *action.patch.stonith;
      if (action.patch.restarted.has_value()) monitor.restarted = *action.patch.restarted;
      if (action.patch.start_requested.has_value()) {
        monitor.start_requested = *action.patch.start_requested;
      }
    });
  }

  void Do(const RunCrm& action, CountedMap* counted) {
    if (!busy_.insert(action.path).second) return;
    const auto found = counted->find(action.path);
    if (found == counted->end()) {
      RunCommand(action);
      return;
    }
    const Counted counts = found->second;
    counted->erase(found);
    Record record;
    record.restarts.push_back({action.path, counts.after});
    Append(std::move(record), [this, weak = weak_from_this(), action,
                               counts](const absl::Status& status) {
      const auto self = weak.lock();
      if (self == nullptr) return;
      if (status.ok()) {
        // Frozen meanwhile, it is left alone; the attempt counts.
        const InstanceState* instance = LocalInstance(action.path);
        if (instance != nullptr && (instance->frozen() || store_->current().local()->frozen())) {
          busy_.erase(action.path);
          PassChanged();
        } else if (!stopped_) {
          RunCommand(action);
        }
        return;
      }
      // Not counted for good, so not done: a later pass counts again.
      busy_.erase(action.path);
      if (LocalInstance(action.path) != nullptr) {
        store_->EditInstance(action.path, [&](InstanceState* instance) {
          instance->monitor.restart = counts.before;
        });
      }
    });
  }

  void RunCommand(const RunCrm& action) {
    const ObjectPath path = action.path;
    if (!LocalObject(path)) {
      busy_.erase(path);
      return;
    }
    if (!MayRun(action)) {
      LOG(INFO) << path.ToString() << ": the right to run it is gone, nothing is begun";
      busy_.erase(path);
      wanted_ = true;
      return;
    }
    unconfirmed_[path] = ++commands_begun_;
    if (!action.status.empty()) {
      store_->EditInstance(path, [&](InstanceState* instance) {
        instance->monitor.status = action.status;
        instance->monitor.status_updated = ports_.clock->Now();
      });
    }
    command_known_[path] = std::nullopt;
    if (const InstanceState* instance = LocalInstance(path); instance->status != nullptr) {
      command_known_[path] = instance->status->updated;
    }
    CrmCommand command;
    command.paths = {path};
    command.words = action.words;
    command.environment["OSVC_ACTION_ORIGIN"] = "daemon";
    command.timeout = LimitOf(path, action.words.empty() ? "" : action.words[0]);
    LOG(INFO) << path.ToString() << ": running " << absl::StrJoin(action.words, " ");
    commands_->Add();
    orders_->CommandBegun(path, action.words.front());
    ports_.crm->Run(
        std::move(command), OnLoop<CrmResult>([action](Impl* self, const CrmResult& result) {
          self->orders_->CommandEnded(action.path,
                                      result.error.ok() && result.signal == 0
                                          ? std::optional<int>(result.exit_code)
                                          : std::nullopt,
                                      DescribeFailure(result));
          if (ReasonOf(result.error) == "ACTION_IN_PROGRESS") {
            if (!self->stopped_) self->YieldToOther(action.path);
            return;
          }
          if (!result.succeeded()) {
            self->failed_commands_->Add();
            LOG(WARNING) << "OM-ACTION-FAILED " << action.path.ToString() << ": "
                         << absl::StrJoin(action.words, " ") << " " << DescribeFailure(result);
          }
          if (self->stopped_) return;
          self->Load(action.path, [self, action, succeeded = result.succeeded()] {
            const std::optional<absl::Time> known = self->command_known_[action.path];
            self->command_known_.erase(action.path);
            self->CommandEnded(action, known, succeeded);
          });
        }));
  }

  void CommandEnded(const RunCrm& action, std::optional<absl::Time> known, bool succeeded) {
    {
      const StateStore::Batch batch(store_);
      busy_.erase(action.path);
      const InstanceState* instance = LocalInstance(action.path);
      if (instance != nullptr) {
        // An evaluation from before the command says nothing about it.
        const std::shared_ptr<const InstanceStatus> status = instance->status;
        const bool fresh = status != nullptr && (!known.has_value() || status->updated != *known);
        if (fresh || (succeeded && action.verb == CrmVerb::kDelete)) {
          unconfirmed_.erase(action.path);
        }
        CrmOutcome outcome;
        outcome.succeeded = succeeded;
        outcome.status = fresh ? status.get() : nullptr;
        Apply(AfterCrm(MakeView(), node_, action, outcome, ports_.clock->Now()));
        if (action.verb == CrmVerb::kDelete && succeeded) {
          // Before the next pass: it must not decide about what is no longer there.
          store_->EditObject(action.path, [&](ObjectState* object) {
            object->configs.erase(node_);
            object->instances.erase(node_);
          });
          ports_.inventory->SayEverything();  // Should the file be there all the same.
          ListInventory();
        }
      }
    }
    PassChanged();
  }

  void Do(const FenceNode& action, CountedMap* /*counted*/) {
    if (!busy_.insert(action.path).second) return;
    CrmCommand command;
    command.words = {"stonith", "--node", action.node};
    command.local = false;
    command.timeout = kFenceLimit;
    LOG(INFO) << action.path.ToString() << ": killing node " << action.node;
    commands_->Add();
    ports_.crm->Run(
        std::move(command), OnLoop<CrmResult>([action](Impl* self, const CrmResult& result) {
          if (!result.succeeded()) {
            self->failed_commands_->Add();
            LOG(WARNING) << "OM-FENCE-FAILED " << action.path.ToString() << ": node " << action.node
                         << ", exit status " << result.exit_code << " " << result.error;
          }
          if (self->stopped_) return;
          self->busy_.erase(action.path);
          if (self->LocalInstance(action.path) != nullptr) {
            self->store_->EditInstance(action.path, [&](InstanceState* edited) {
              if (edited->monitor.stonith == action.node) edited->monitor.stonith.clear();
            });
          }
          self->PassSoon();
        }));
  }

  void Do(const CreateSlice& action, CountedMap* /*counted*/) {
    std::vector<std::string> words = {"create", "--config", action.scaler.ToString()};
    AddKeywords(action.keywords, &words);
    RunOnSlice(action.scaler, action.slice, std::move(words), status_word::kCreateFailed);
  }
  void Do(const ResizeSlice& action, CountedMap* /*counted*/) {
    std::vector<std::string> words = {"set"};
    AddKeywords(action.keywords, &words);
    RunOnSlice(action.slice, action.slice, std::move(words), status_word::kSetFailed);
  }
  static void AddKeywords(const std::map<std::string, std::string>& keywords,
                          std::vector<std::string>* words) {
    for (const auto& [keyword, value] : keywords) {
      words->push_back("--kw");
      words->push_back(absl::StrCat(keyword, "=", value));
    }
  }
  // A new object begins its life with an order, which is taken up when its file is found.
  void ProvisionWhenFound(const ObjectPath& path) {
    Record record;
    record.orders.push_back(
        {path, expect_word::kProvisioned, ports_.secure_random->Uuid(), ports_.clock->Now()});
    recovered_orders_[path] = record.orders.back();
    Append(std::move(record), [](const absl::Status&) {});
  }
  // A command that changes the configuration of `slice`, on behalf of `object`.
  void RunOnSlice(const ObjectPath& object, const ObjectPath& slice, std::vector<std::string> words,
                  const char* failed) {
    if (!busy_.insert(object).second) return;
    CrmCommand command;
    command.paths = {slice};
    command.words = std::move(words);
    command.environment["OSVC_ACTION_ORIGIN"] = "daemon";
    command.timeout = settings_.crm_timeout;
    commands_->Add();
    ports_.crm->Run(std::move(command),
                    OnLoop<CrmResult>([object, slice, failed](Impl* self, const CrmResult& result) {
                      if (self->stopped_) return;
                      if (!result.succeeded()) {
                        self->failed_commands_->Add();
                        LOG(WARNING) << "OM-ACTION-FAILED " << slice.ToString() << ": " << failed
                                     << ", " << DescribeFailure(result);
                        CountedMap none;
                        MonitorPatch patch;
                        patch.status = failed;
                        self->Do(SetMonitor{object, std::move(patch)}, &none);
                      }
                      // What was changed is not known yet: it would be changed once more.
                      self->busy_until_listed_.insert(object);
                      self->ListInventory();
                    }));
  }

  void Do(const GiveOrder& action, CountedMap* /*counted*/) {
    InstanceMonitorOrder order;
    order.path = action.path;
    order.global_expect = action.global_expect;
    order.requester = absl::StrCat("the monitor of ", node_);
    // Posted: what is being applied comes first.
    (void)Post([order](Impl* self) {
      if (self->stopped_) return;
      self->SetInstanceMonitor(order, RequestKey(), [order](absl::StatusOr<OrderAnswer> answer) {
        if (!answer.ok() || !answer->applied) {
          LOG(INFO) << order.path.ToString() << ": the order " << *order.global_expect
                    << " was not taken" << (answer.ok() ? "" : ": ")
                    << (answer.ok() ? "" : answer.status().ToString());
        }
      });
    });
  }

  void Do(const ChangeOrder& action, CountedMap* /*counted*/) {
    const InstanceState* instance = LocalInstance(action.path);
    if (instance == nullptr || instance->monitor.global_expect.empty()) return;
    store_->EditInstance(action.path, [&](InstanceState* edited) {
      edited->monitor.global_expect = action.global_expect;
      edited->monitor.global_expect_updated = OrderEndTime(edited->monitor.global_expect_updated);
    });
    JournalCurrent({action.path});
    wanted_ = true;  // What it asks for now is decided by the next pass.
  }

  void Do(const SetFrozen& action, CountedMap* /*counted*/) {
    if (!busy_.insert(action.path).second) return;
    ports_.flags->SetFrozen(
        action.path, action.frozen,
        OnLoop<absl::StatusOr<std::optional<absl::Time>>>(
            [action](Impl* self, const absl::StatusOr<std::optional<absl::Time>>& result) {
              if (self->stopped_) return;
              self->busy_.erase(action.path);
              if (self->LocalInstance(action.path) != nullptr) self->FlagSet(action, result);
              self->PassChanged();
            }));
  }

  void FlagSet(const SetFrozen& action, const absl::StatusOr<std::optional<absl::Time>>& result) {
    const StateStore::Batch batch(store_);
    if (result.ok()) {
      store_->EditInstance(action.path,
                           [&](InstanceState* instance) { instance->frozen_since = *result; });
      return;
    }
    // Whatever wanted the flag would want it again at once: the order fails instead.
    const char* failed = action.frozen ? "freeze failed" : "thaw failed";
    LOG(ERROR) << "OM-FLAG-FAILED " << action.path.ToString() << ": " << result.status();
    CountedMap none;
    MonitorPatch patch;
    patch.status = failed;
    Do(SetMonitor{action.path, std::move(patch)}, &none);
    Do(ClearOrder{action.path, OrderEnd::kFailed, failed}, &none);
  }

  void Do(const SetNodeFrozen& action, CountedMap* /*counted*/) {
    if (node_flag_busy_) return;
    node_flag_busy_ = true;
    ports_.flags->SetFrozen(
        std::nullopt, action.frozen,
        OnLoop<absl::StatusOr<std::optional<absl::Time>>>(
            [](Impl* self, const absl::StatusOr<std::optional<absl::Time>>& result) {
              self->node_flag_busy_ = false;
              if (self->stopped_) return;
              if (result.ok()) {
                self->store_->EditNode(self->node_,
                                       [&](NodeState* node) { node->frozen_since = *result; });
                self->PassSoon();
              } else {
                // Tried again by a later pass, which must not come at once.
                LOG(ERROR) << "OM-FLAG-FAILED node: " << result.status();
              }
            }));
  }

  void Do(const SetNodeStatus& action, CountedMap* /*counted*/) {
    SetNodeStatus(action.status.c_str());
    scope_.WantAll();
    wanted_ = true;  // Services are looked at by the next pass.
  }
  void SetNodeStatus(const char* status) {
    LOG(INFO) << "node monitor status: " << status;
    store_->EditNode(node_, [&](NodeState* node) {
      node->monitor.status = status;
      node->monitor.status_updated = ports_.clock->Now();
    });
  }

  void Do(const ClearNodeOrder& /*action*/, CountedMap* /*counted*/) {
    store_->EditNode(node_, [&](NodeState* node) {
      node->monitor.global_expect.clear();
      node->monitor.global_expect_updated = OrderEndTime(node->monitor.global_expect_updated);
    });
    Record record;
    record.node_order =
        NodeOrderRecord{"", store_->current().local()->monitor.global_expect_updated,
                        store_->current().local()->monitor.local_expect};
    // Lost in a crash, it is found to be reached once more.
    Append(std::move(record), [](const absl::Status&) {});
  }

  void Do(const ClearNodeLocalExpect& /*action*/, CountedMap* /*counted*/) {
    store_->EditNode(node_, [](NodeState* node) { node->monitor.local_expect.clear(); });
    const NodeMonitor& monitor = store_->current().local()->monitor;
    Record record;
    record.node_order = NodeOrderRecord{monitor.global_expect, monitor.global_expect_updated, ""};
    Append(std::move(record), [](const absl::Status&) {});
  }

  void Do(const ForgetNode& action, CountedMap* /*counted*/) {
    if (store_->current().node(action.node) == nullptr || action.node == node_) return;
    store_->EraseNode(action.node);
    ChooseSpeaker();
    scope_.WantAll();
    wanted_ = true;
  }

  void Do(const ClearOrder& action, CountedMap* /*counted*/) {
    const InstanceState* instance = LocalInstance(action.path);
    if (instance == nullptr || instance->monitor.global_expect.empty()) return;
    LOG(INFO) << action.path.ToString() << ": order " << instance->monitor.order_id << " "
              << instance->monitor.global_expect
              << (action.end == OrderEnd::kReached  ? " is reached"
                  : action.end == OrderEnd::kFailed ? " has failed: "
                                                    : " is cancelled: ")
              << action.why;
    store_->EditInstance(action.path, [&](InstanceState* edited) {
      edited->monitor.global_expect.clear();
      edited->monitor.global_expect_updated = OrderEndTime(edited->monitor.global_expect_updated);
      edited->monitor.order_id.clear();
    });
    orders_->EndHere(action.path, StateOf(action.end), action.why);
    orders_->Observe(store_->current(), action.path, joined_);
    JournalCurrent({action.path});
  }

  void Do(const om::EmitEvent& action, CountedMap* /*counted*/) { Emit(action.event); }
  void Emit(const Event& event) {
    LOG(INFO) << "event " << event.id << (event.reason.empty() ? "" : " ") << event.reason
              << (event.path.has_value() ? absl::StrCat(" ", event.path->ToString()) : "")
              << (event.rid.empty() ? "" : " ") << event.rid;
    store_->Emit(event);
  }
  void EmitById(const char* id) {
    Event event;
    event.id = id;
    Emit(event);
  }

  void Do(const om::AcquireOwnership& action, CountedMap* /*counted*/) { Acquire(action.path); }
  void Do(const om::ReleaseOwnership& action, CountedMap* /*counted*/) {
    if (unconfirmed_.count(action.path) != 0) return;
    ownership_.Release(action.path);
    GiveBack();
  }

  void Do(const WakeAt& action, CountedMap* /*counted*/) {
    if (wake_timer_.has_value()) {
      if (wake_time_ <= action.time) return;
      ports_.loop->Cancel(*wake_timer_);
    }
    wake_time_ = action.time;
    const Duration delay =
        std::max(Duration(0), absl::ToChronoNanoseconds(action.time - ports_.clock->Now()));
    wake_timer_ = ports_.loop->PostAfter(delay, [weak = weak_from_this()] {
      const auto self = weak.lock();
      if (self == nullptr) return;
      self->wake_timer_.reset();
      self->scope_.WantAll();
      self->Pass();
    });
  }

  // ---- The rest of the interface ----

  void WakeMonitor(const std::optional<ObjectPath>& path) {
    if (path.has_value() && LocalObject(*path)) LoadInstance(*path);
    if (!path.has_value()) scope_.WantAll();
    wanted_ = true;  // For the next tick: the notice may be one of thousands.
  }

  void Pause(bool paused) {
    if (paused_ == paused) return;
    paused_ = paused;
    if (paused || !started_) return;
    thread_start_ = ports_.clock->Now();
    EmitById("monitor_started");
    PassSoon();
  }

  // ---- Peers ----

  void PeerView(const std::shared_ptr<const NodeDataset>& view) {
    const std::string& name = view->node.name;
    const auto& members = settings_.cluster.nodes;
    if (name == node_ || std::find(members.begin(), members.end(), name) == members.end()) return;
    Peer& peer = peers_[name];
    if (view->incarnation != peer.incarnation) {
      const auto& past = peer.past_incarnations;
      if (std::find(past.begin(), past.end(), view->incarnation) != past.end()) return;
      if (!peer.incarnation.empty()) peer.past_incarnations.push_back(peer.incarnation);
      if (past.size() > kPastRuns) peer.past_incarnations.pop_front();
      peer.incarnation = view->incarnation;
    } else if (peer.view != nullptr && view->generation <= peer.view->generation) {
      return;
    }
    peer.view = view;
    // What a silent node said before is no sign of life.
    if (peer.alive) MergePeer(*view);
  }

  void MergePeer(const NodeDataset& view) {
    const std::string& peer = view.node.name;
    {
      const StateStore::Batch batch(store_);
      store_->PutNode(view.node);
      std::set<ObjectPath> stale;
      store_->current().objects.ForEach([&](const ObjectState& object) {
        if (object.configs.count(peer) != 0 || object.instances.count(peer) != 0) {
          stale.insert(object.path);
        }
      });
      for (const auto& [path, config] : view.configs) stale.insert(path);
      for (const auto& [path, instance] : view.instances) stale.insert(path);
      for (const ObjectPath& path : stale) {
        const auto config = view.configs.find(path);
        const auto instance = view.instances.find(path);
        store_->EditObject(path, [&](ObjectState* object) {
          if (config == view.configs.end()) {
            object->configs.erase(peer);
          } else {
            object->configs[peer] = config->second;
          }
          if (instance == view.instances.end()) {
            object->instances.erase(peer);
          } else {
            object->instances[peer] = instance->second;
          }
        });
      }
      ChooseSpeaker();
    }
    for (const auto& [path, instance] : view.instances) {
      const InstanceState* local = LocalInstance(path);
      if (!instance.monitor.global_expect.empty() ||
          (local != nullptr && !local->monitor.global_expect.empty())) {
        ordered_.insert(path);
      }
    }
    PeerNodeOrder(view.node);
    PassSoon();
  }

  void Liveness(const std::string& name, bool alive) {
    if (name == node_) return;
    Peer& peer = peers_[name];
    if (peer.alive == alive) return;
    peer.alive = alive;
    const NodeState* node = store_->current().node(name);
    if (alive) {
      const auto& members = settings_.cluster.nodes;
      const bool member = std::find(members.begin(), members.end(), name) != members.end();
      if (peer.view != nullptr && member) MergePeer(*peer.view);
      return;
    }
    if (node == nullptr) return;
    const std::string& status = node->monitor.status;
    const bool kept = status == status_word::kMaintenance || status == status_word::kUpgrade ||
                      status == status_word::kInit;
    if (kept) {
      store_->EditNode(name, [](NodeState* edited) { edited->alive = false; });
    } else {
      Event event;
      event.id = "forget_peer";
      event.reason = "no_rx";
      event.data["peer"] = name;
      const StateStore::Batch batch(store_);
      store_->EraseNode(name);
      Emit(event);
      ChooseSpeaker();
    }
    PassSoon();
  }

  // Compares the orders of peers with those of this node, each time that something has changed:
  // whether one is taken over depends on the state here, too.
  void MergeOrders() {
    for (auto it = ordered_.begin(); it != ordered_.end();) {
      const ObjectPath path = *it;
      const std::shared_ptr<const ObjectState> object = store_->current().objects.Find(path);
      bool any = false;
      if (object != nullptr) {
        for (const auto& [name, instance] : object->instances) {
          const InstanceMonitor& monitor = instance.monitor;
          any = any || !monitor.global_expect.empty();
          if (name == node_) continue;
          if (!monitor.global_expect.empty()) {
            PeerOrder({monitor.order_id, path, monitor.global_expect, monitor.global_expect_updated,
                       name});
          } else if (const auto peer = peers_.find(name);
                     peer != peers_.end() && !peer->second.incarnation.empty()) {
            // Daemons of other kinds stamp an end with their clock, which tells nothing.
            PeerOrderEnded(path, monitor.global_expect_updated);
          }
        }
      }
      it = any ? std::next(it) : ordered_.erase(it);
    }
  }

  // An order of a peer: the later one wins, and one that is done already is not begun.
  void PeerOrder(const ClusterOrder& order) {
    const std::shared_ptr<const ObjectState> object = store_->current().objects.Find(order.path);
    if (object == nullptr || object->config(node_) == nullptr) return;
    const InstanceState* instance = object->instance(node_);
    if (instance == nullptr || instance->monitor.global_expect_updated >= order.time) return;
    InstanceMonitorOrder check;
    check.path = order.path;
    check.global_expect = order.global_expect.empty() ? expect_word::kUnset : order.global_expect;
    const OrderOutcome::Kind kind = CheckOrder(store_->current(), check).front().kind;
    if (kind == OrderOutcome::Kind::kInvalidValue ||
        kind == OrderOutcome::Kind::kUnsupportedValue ||
        (!order.global_expect.empty() &&
         (!AdoptsOrder(*object, node_, order.global_expect) ||
          OrderReached(store_->current(), *object, node_, order.global_expect)))) {
      return;
    }
    absl::Time& adopting = adopting_[order.path];
    if (adopting >= order.time) return;  // Being journalled.
    adopting = order.time;
    Record record;
    record.orders.push_back({order.path, order.global_expect, order.order_id, order.time});
    Append(std::move(record), [this, weak = weak_from_this(), order](const absl::Status& status) {
      const auto self = weak.lock();
      if (self == nullptr) return;
      const auto it = adopting_.find(order.path);
      if (it != adopting_.end() && it->second == order.time) adopting_.erase(it);
      const InstanceState* found = LocalInstance(order.path);
      if (!status.ok() || found == nullptr || !LocalObject(order.path)) return;
      if (found->monitor.global_expect_updated >= order.time) {
        JournalCurrent({order.path});  // A later one came in between.
        return;
      }
      store_->EditInstance(order.path, [&](InstanceState* edited) {
        edited->monitor.global_expect = order.global_expect;
        edited->monitor.global_expect_updated = order.time;
        edited->monitor.order_id = order.order_id;
      });
      RecordPeerOrder(order);
      PassSoon();
    });
  }

  // Keeps a record of a peer's order, which is carried out already.
  void RecordPeerOrder(const ClusterOrder& order) {
    if (!order.order_id.empty() && !order.global_expect.empty()) {
      OrderProgress progress;
      progress.id = order.order_id;
      progress.path = order.path;
      progress.global_expect = order.global_expect;
      progress.node = order.origin;
      progress.time = order.time;
      progress.parts.push_back({order.path, OrderState::kRunning, ""});
      orders_->Begin(std::move(progress), /*saved=*/false);
    }
    orders_->Observe(store_->current(), order.path, joined_);
  }

  // A peer's last order is over. If it was given after the one that is in progress here, it holds.
  void PeerOrderEnded(const ObjectPath& path, absl::Time time) {
    const InstanceState* instance = LocalInstance(path);
    if (instance == nullptr || instance->monitor.global_expect.empty()) return;
    if (time <= OrderEndTime(instance->monitor.global_expect_updated)) return;
    const StateStore::Batch batch(store_);
    Do(ClearOrder{path, OrderEnd::kCancelled, "a later order has ended on a peer"}, nullptr);
    store_->EditInstance(
        path, [&](InstanceState* edited) { edited->monitor.global_expect_updated = time; });
  }

  // The same for the order on the nodes.
  void PeerNodeOrder(const NodeState& peer) {
    const NodeState* local = store_->current().local();
    const std::string& order = peer.monitor.global_expect;
    const absl::Time time = peer.monitor.global_expect_updated;
    if (order != expect_word::kFrozen && order != expect_word::kThawed) return;
    if (local == nullptr || local->monitor.global_expect_updated >= time) return;
    if (local->frozen() == (order == expect_word::kFrozen)) return;
    store_->EditNode(node_, [&](NodeState* node) {
      node->monitor.global_expect = order;
      node->monitor.global_expect_updated = time;
    });
    Record record;
    record.node_order =
        NodeOrderRecord{order, time, store_->current().local()->monitor.local_expect};
    // Lost in a crash, it is heard from the peer again.
    Append(std::move(record), [](const absl::Status&) {});
  }

  // ---- Ownership ----

  bool HasOwnership() const { return HasPeers() && ports_.transport->capabilities().ownership; }

  void Acquire(const ObjectPath& path) {
    const MonotonicTime now = ports_.clock->Monotonic();
    if (!HasOwnership() || !ownership_.BeginAcquire(path, now)) {
      PassAfter(OwnershipTable::kRetry);
      return;
    }
    ports_.transport->AcquireOwnership(
        path, OnLoop<absl::StatusOr<Ownership>>(
                  [path](Impl* self, const absl::StatusOr<Ownership>& answer) {
                    if (self->ownership_.Answered(path, answer, self->ports_.clock->Monotonic())) {
                      self->scope_.Want(path);
                      self->PassChanged();
                      return;
                    }
                    LOG(INFO) << path.ToString() << ": not owned: "
                              << (answer.ok() ? absl::StrCat("it is of ", answer->owner)
                                              : answer.status().ToString());
                    self->PassAfter(OwnershipTable::kRetry);
                  }));
  }

  // Hands back what is no longer needed; what could not be handed back is tried again.
  void GiveBack() {
    for (const auto& [path, token] : ownership_.DueReleases(ports_.clock->Monotonic())) {
      ports_.transport->ReleaseOwnership(
          path, token,
          OnLoop<absl::Status>(
              [path = path, token = token](Impl* self, const absl::Status& status) {
                if (!status.ok()) {
                  LOG_EVERY_N(WARNING, 100)
                      << "OM-OWNERSHIP-RELEASE " << path.ToString() << ": " << status;
                }
                self->ownership_.Released(path, token, status);
              }));
    }
  }

  // A record is given back once its instance is known to be down; a command that left no evaluation
  // behind tells nothing.
  void ConfirmHeld() {
    if (!HasOwnership() || !joined_ || unconfirmed_.empty()) return;
    for (const ObjectPath& path : ownership_.Held(ports_.clock->Monotonic())) {
      if (unconfirmed_.count(path) != 0 && busy_.count(path) == 0) Refresh(path);
    }
  }

  // An evaluation that was begun after that command has been read, if there is one.
  void Confirm(const ObjectPath& path, uint64_t command, absl::Time known) {
    const auto it = unconfirmed_.find(path);
    const InstanceState* instance = LocalInstance(path);
    if (it == unconfirmed_.end() || it->second != command || instance == nullptr ||
        instance->status == nullptr || instance->status->updated == known) {
      return;
    }
    unconfirmed_.erase(it);
    PassSoon();
  }

  // The last word before something is started: time has passed since it was decided.
  bool MayRun(const RunCrm& action) const {
    const bool starts = action.words.front() == "start" || action.words.front() == "provision" ||
                        action.words.front() == "restart";
    const std::shared_ptr<const ObjectState> object = store_->current().objects.Find(action.path);
    if (!starts || !HasOwnership() || object->config(node_)->topology != "failover") return true;
    return ownership_.MayAct(action.path, ports_.clock->Monotonic());
  }

  void Renewed(const Lease& lease) {
    for (const ObjectPath& path : ownership_.Renewed(lease, ports_.clock->Monotonic())) {
      LOG(ERROR) << "OM-OWNERSHIP-LOST " << path.ToString();
      Refresh(path);  // The guard may have stopped it.
    }
    PassSoon();
  }

  // A pass then at the latest.
  void PassAfter(Duration delay) {
    Do(WakeAt{ports_.clock->Now() + absl::FromChrono(delay)}, nullptr);
  }

  StateStore* store() { return store_; }
  void set_observer(TransportObserver* observer) { observer_ = observer; }

 private:
  Options options_;
  const Ports ports_;
  StateStore* const store_;   // Not owned.
  OrderTable* const orders_;  // Not owned.
  const std::string node_;
  TransportObserver* observer_ = nullptr;  // Not owned.
  CoreSettings settings_;
  RequestTable requests_;

  Counter* const orders_taken_;
  Counter* const orders_refused_;
  Counter* const requests_evicted_;
  Counter* const journal_errors_;
  Counter* const bad_records_;
  Counter* const passes_;
  Counter* const full_passes_;
  Counter* const commands_;
  Counter* const failed_commands_;
  Counter* const taken_over_count_;

  bool started_ = false;
  bool stopped_ = false;
  bool paused_ = false;
  absl::Time thread_start_;
  absl::Time clock_zero_;  // When the monotonic clock was zero, as the wall clock has it.
  TimerId tick_timer_{0};

  // The monitor.
  bool wanted_ = false;       // A pass is called for.
  bool pass_posted_ = false;  // One is on its way.
  bool passing_ = false;
  MonotonicTime last_pass_;
  MonotonicTime last_full_pass_;
  PassScope scope_{node_};
  std::optional<TimerId> wake_timer_;
  absl::Time wake_time_;
  std::set<ObjectPath> busy_;  // With a mutating action in flight; at most one each.
  // Of these, the ones whose action has ended and waits for a listing begun after it.
  std::set<ObjectPath> busy_until_listed_;
  bool node_flag_busy_ = false;
  OwnershipTable ownership_;
  // Not evaluated since a command that changes something: its number.
  std::map<ObjectPath, uint64_t> unconfirmed_;
  // `updated` of the newest evaluation that is not of the command in flight; no value: none.
  std::map<ObjectPath, std::optional<absl::Time>> command_known_;
  uint64_t commands_begun_ = 0;
  TakenOverActions taken_over_;
  bool polling_ = false;  // The locks of those.
  Revision published_{0};
  // What was heard of a peer; kept when the peer itself is forgotten.
  struct Peer {
    bool alive = true;
    std::string incarnation;  // Of the run that `view` is of.
    std::deque<std::string> past_incarnations;
    std::shared_ptr<const NodeDataset> view;  // The newest; null: none.
  };
  std::map<std::string, Peer> peers_;
  std::set<ObjectPath> ordered_;  // Of which a node has an order in progress, or had one lately.
  std::map<ObjectPath, absl::Time> adopting_;  // Times of peers' orders that are being journalled.
  Revision observed_{0};                       // Orders have seen the changes up to it.

  // Files.
  bool listing_ = false;
  bool list_again_ = false;
  MonotonicTime last_inventory_;
  Duration inventory_pause_ = Duration(0);
  MonotonicTime last_sweep_;
  std::set<ObjectPath> loading_, load_again_;
  std::deque<ObjectPath> waiting_loads_;  // In `loading_`, not begun yet.
  size_t loads_in_flight_ = 0;
  std::set<ObjectPath> refreshing_;
  std::map<ObjectPath, std::string> refreshed_;  // Checksum of the configuration last evaluated.
  ObjectPath sweep_position_;
  bool reading_stats_ = false;
  MonotonicTime last_stats_;
  bool evaluating_ = false;  // The first evaluation has begun,
  bool evaluated_ = false;   // has ended,
  bool joined_ = false;      // and has been read.
  absl::Time evaluation_start_;
  size_t running_batches_ = 0;
  std::set<ObjectPath> unevaluated_;     // Since the start.
  std::set<ObjectPath> evaluate_again_;  // Of those: if it turns out that nothing was written.
  bool booted_ = false;
  bool thaw_after_upgrade_ = false;

  // The shutdown.
  std::vector<Done<absl::StatusOr<ShutdownAnswer>>> shutdown_waiters_;
  bool shut_down_ = false;
  MonotonicTime shutdown_start_;
  std::set<ObjectPath> given_up_;  // Somebody works on them for longer than the shutdown waits.

  // The journal.
  size_t appends_in_flight_ = 0;
  size_t commits_in_flight_ = 0;
  bool compacting_ = false;
  bool rewriting_ = false;
  size_t compact_above_ = options_.journal_compact_bytes;
  std::vector<std::pair<std::string, Done<absl::Status>>> held_;  // Wait for the compaction.
  std::set<ObjectPath> dirty_;  // The journal does not say yet what is true of them.
  MonotonicTime last_dirty_try_;
  std::map<ObjectPath, OrderRecord> recovered_orders_;
  std::map<ObjectPath, std::map<std::string, int>> recovered_restarts_;
  std::optional<NodeOrderRecord> recovered_node_order_;
};

Core::Core(Options options, const Ports& ports)
    : store_(ports.clock, options.local_node, options.incarnation, options.feed),
      orders_(ports.clock, options.local_node, options.orders),
      impl_(std::make_shared<Impl>(std::move(options), ports, &store_, &orders_)) {
  impl_->set_observer(this);
}

Core::~Core() = default;

void Core::Start(std::vector<std::string> journal_records) {
  (void)impl_->Post([records = std::move(journal_records)](Impl* impl) { impl->Start(records); });
}

void Core::Stop(const std::function<void()>& done) {
  if (!impl_->Post([done](Impl* impl) { impl->Stop(done); })) done();
}

void Core::SetInstanceMonitor(InstanceMonitorOrder order, RequestKey key,
                              const Done<absl::StatusOr<OrderAnswer>>& done) {
  if (!impl_->Post([order = std::move(order), key = std::move(key), done](Impl* impl) {
        if (impl->stopped()) return done(Stopping());
        impl->SetInstanceMonitor(order, key, done);
      })) {
    done(Stopping());
  }
}

void Core::PreviewOrder(InstanceMonitorOrder order,
                        const Done<absl::StatusOr<OrderPreview>>& done) {
  if (!impl_->Post([order = std::move(order), done](Impl* impl) {
        if (impl->stopped()) return done(Stopping());
        impl->PreviewOrder(order, done);
      })) {
    done(Stopping());
  }
}

void Core::ClearInstance(ObjectPath path, RequestKey key,
                         const Done<absl::StatusOr<ClearAnswer>>& done) {
  if (!impl_->Post([path = std::move(path), key = std::move(key), done](Impl* impl) {
        if (impl->stopped()) return done(Stopping());
        impl->ClearInstance(path, key, done);
      })) {
    done(Stopping());
  }
}

void Core::SetNodeMonitor(NodeMonitorOrder order, RequestKey key,
                          const Done<absl::StatusOr<NodeMonitorAnswer>>& done) {
  if (!impl_->Post([order = std::move(order), key = std::move(key), done](Impl* impl) {
        if (impl->stopped()) return done(Stopping());
        impl->SetNodeMonitor(order, key, done);
      })) {
    done(Stopping());
  }
}

void Core::Shutdown(const Done<absl::StatusOr<ShutdownAnswer>>& done) {
  if (!impl_->Post([done](Impl* impl) {
        if (impl->stopped()) return done(Stopping());
        impl->Shutdown(done);
      })) {
    done(Stopping());
  }
}

void Core::BeginRequest(
    RequestKey key, const std::function<void(std::optional<absl::StatusOr<std::string>>)>& begun) {
  if (!impl_->Post([key = std::move(key), begun](Impl* impl) {
        if (impl->stopped()) return begun(absl::StatusOr<std::string>(Stopping()));
        impl->BeginRequest(key, begun);
      })) {
    begun(absl::StatusOr<std::string>(Stopping()));
  }
}

// Also once stopped: what was begun gets its end.
void Core::EndRequest(RequestKey key, absl::StatusOr<std::string> answer,
                      const Done<absl::Status>& done) {
  if (!impl_->Post([key = std::move(key), answer = std::move(answer), done](Impl* impl) {
        impl->EndRequest(key, answer, done);
      })) {
    done(Stopping());
  }
}

void Core::PauseMonitor(const std::function<void()>& done) {
  if (!impl_->Post([done](Impl* impl) {
        impl->Pause(true);
        done();
      })) {
    done();
  }
}

void Core::ResumeMonitor(const std::function<void()>& done) {
  if (!impl_->Post([done](Impl* impl) {
        impl->Pause(false);
        done();
      })) {
    done();
  }
}

void Core::WakeMonitor(std::optional<ObjectPath> path) {
  (void)impl_->Post([path = std::move(path)](Impl* impl) { impl->WakeMonitor(path); });
}

void Core::RefreshInstance(ObjectPath path) {
  (void)impl_->Post([path = std::move(path)](Impl* impl) { impl->Refresh(path); });
}

void Core::ReloadInventory() {
  (void)impl_->Post([](Impl* impl) { impl->ListInventory(); });
}

void Core::ApplySettings(CoreSettings settings) {
  (void)impl_->Post(
      [settings = std::move(settings)](Impl* impl) { impl->ApplySettings(settings); });
}

void Core::UpdateThread(ThreadStatus thread) {
  (void)impl_->Post([thread = std::move(thread)](Impl* impl) { impl->store()->PutThread(thread); });
}

void Core::UpdateScheduler(SchedulerState scheduler) {
  (void)impl_->Post(
      [scheduler = std::move(scheduler)](Impl* impl) { impl->store()->SetScheduler(scheduler); });
}

void Core::UpdateListener(ListenerState listener) {
  (void)impl_->Post(
      [listener = std::move(listener)](Impl* impl) { impl->store()->SetListener(listener); });
}

void Core::SetAlerts(std::vector<Alert> alerts) {
  (void)impl_->Post([alerts = std::move(alerts)](Impl* impl) { impl->store()->SetAlerts(alerts); });
}

void Core::EmitEvent(Event event) {
  (void)impl_->Post([event = std::move(event)](Impl* impl) { impl->Emit(event); });
}

void Core::OnPeerView(std::shared_ptr<const NodeDataset> view) {
  (void)impl_->Post([view = std::move(view)](Impl* impl) { impl->PeerView(view); });
}

void Core::OnLiveness(const std::string& node, bool alive) {
  (void)impl_->Post([node, alive](Impl* impl) { impl->Liveness(node, alive); });
}

void Core::OnOrder(const ClusterOrder& order) {
  (void)impl_->Post([order](Impl* impl) { impl->PeerOrder(order); });
}

void Core::OnLease(const Lease& lease) {
  (void)impl_->Post([lease](Impl* impl) { impl->Renewed(lease); });
}

// Fetching newer configurations of peers is the business of those who read files; the core only
// keeps what it was told in the peer's view.
void Core::OnPeerConfig(const std::string& /*node*/, const ObjectPath& /*path*/,
                        const ObjectConfig& /*config*/) {}

}  // namespace om
