#include "server/service/convert.h"

#include <set>

#include "absl/strings/str_cat.h"

namespace om {
namespace {

namespace pb = control::v1;

pb::PlacementState PlacementToProto(absl::string_view word) {
  if (word == "optimal") return pb::PLACEMENT_STATE_OPTIMAL;
  if (word == "non-optimal") return pb::PLACEMENT_STATE_NON_OPTIMAL;
  if (word == "n/a") return pb::PLACEMENT_STATE_NOT_APPLICABLE;
  return pb::PLACEMENT_STATE_UNSPECIFIED;
}

pb::ProvisionedState ProvisionedToProto(absl::string_view word) {
  if (word == "true") return pb::PROVISIONED_STATE_TRUE;
  if (word == "false") return pb::PROVISIONED_STATE_FALSE;
  if (word == "mixed") return pb::PROVISIONED_STATE_MIXED;
  if (word == "n/a") return pb::PROVISIONED_STATE_NOT_APPLICABLE;
  return pb::PROVISIONED_STATE_UNSPECIFIED;
}

pb::ProvisionedState ProvisionedToProto(const std::optional<bool>& provisioned) {
  if (!provisioned.has_value()) return pb::PROVISIONED_STATE_NOT_APPLICABLE;
  return *provisioned ? pb::PROVISIONED_STATE_TRUE : pb::PROVISIONED_STATE_FALSE;
}

pb::ResourceStatus ResourceToProto(const ResourceStatus& resource) {
  pb::ResourceStatus out;
  out.set_id(resource.rid);
  out.set_state(ToProto(resource.status));
  out.set_type(resource.type);
  out.set_label(resource.label);
  out.set_disabled(resource.disabled);
  out.set_optional(resource.optional);
  out.set_standby(resource.standby);
  out.set_monitored(resource.monitored);
  out.set_encapsulated(resource.encap);
  out.set_max_restart_count(resource.restart);
  out.set_provisioned(ProvisionedToProto(resource.provisioned));
  for (const std::string& line : resource.log) out.add_log(line);
  for (const std::string& tag : resource.tags) out.add_tags(tag);
  out.set_subset(resource.subset);
  return out;
}

pb::InstanceStatus InstanceToProto(const std::string& node, const InstanceState& instance) {
  pb::InstanceStatus out;
  out.set_node(node);
  *out.mutable_monitor() = ToProto(instance.monitor);
  if (instance.frozen_since.has_value())
    *out.mutable_freeze_time() = ToProto(*instance.frozen_since);
  if (instance.status == nullptr) return out;
  const InstanceStatus& status = *instance.status;
  if (status.has_avail) {
    out.set_avail(ToProto(status.avail));
    out.set_overall(ToProto(status.overall));
    out.set_optional(ToProto(status.optional));
  }
  out.set_provisioned(ProvisionedToProto(status.provisioned));
  out.set_topology(status.topology);
  out.set_orchestrate(status.orchestrate);
  out.set_placement_policy(status.placement);
  *out.mutable_update_time() = ToProto(status.updated);
  for (const ResourceStatus& resource : status.resources) {
    *out.add_resources() = ResourceToProto(resource);
  }
  return out;
}

pb::OrderState StateToProto(OrderState state) {
  switch (state) {
    case OrderState::kRunning:
      return pb::ORDER_STATE_RUNNING;
    case OrderState::kBlocked:
      return pb::ORDER_STATE_BLOCKED;
    case OrderState::kReached:
      return pb::ORDER_STATE_REACHED;
    case OrderState::kFailed:
      return pb::ORDER_STATE_FAILED;
    case OrderState::kAborted:
      return pb::ORDER_STATE_ABORTED;
    case OrderState::kSuperseded:
      return pb::ORDER_STATE_SUPERSEDED;
  }
  return pb::ORDER_STATE_UNSPECIFIED;
}

}  // namespace

pb::Order ToProto(const OrderProgress& order) {
  pb::Order out;
  out.set_order_id(order.id);
  out.set_path(order.path.ToString());
  out.set_global_expect(order.global_expect);
  out.set_requester(order.requester);
  out.set_node(order.node);
  *out.mutable_create_time() = ToProto(order.time);
  out.set_state(StateToProto(order.state()));
  out.set_reason(order.reason());
  if (order.end.has_value()) *out.mutable_end_time() = ToProto(*order.end);
  for (const OrderStep& step : order.steps) {
    pb::OrderStep* one = out.add_steps();
    one->set_node(step.node);
    one->set_path(step.path.ToString());
    one->set_action(step.action);
    *one->mutable_begin_time() = ToProto(step.begin);
    if (step.end.has_value()) *one->mutable_end_time() = ToProto(*step.end);
    if (step.exit_status.has_value()) one->set_exit_status(*step.exit_status);
    one->set_error(step.error);
  }
  out.set_dropped_step_count(order.dropped_steps);
  for (const NodeProgress& node : order.nodes) {
    pb::OrderNode* one = out.add_nodes();
    one->set_node(node.node);
    one->set_path(node.path.ToString());
    one->set_text(node.text);
  }
  for (const OrderPart& part : order.parts) {
    pb::OrderPart* one = out.add_parts();
    one->set_path(part.path.ToString());
    one->set_state(StateToProto(part.state));
    one->set_reason(part.reason);
  }
  out.set_version(order.version);
  return out;
}

pb::PlannedAction ToProto(const PlannedAction& action) {
  pb::PlannedAction out;
  out.set_node(action.node);
  out.set_path(action.path.ToString());
  out.set_action(action.action);
  out.set_round(action.round);
  return out;
}

google::protobuf::Timestamp ToProto(absl::Time time) {
  google::protobuf::Timestamp out;
  const timespec spec = absl::ToTimespec(time);
  out.set_seconds(spec.tv_sec);
  out.set_nanos(static_cast<int32_t>(spec.tv_nsec));
  return out;
}

pb::ResourceState ToProto(Availability availability) {
  switch (Shown(availability)) {
    case Availability::kUp:
      return pb::RESOURCE_STATE_UP;
    case Availability::kDown:
      return pb::RESOURCE_STATE_DOWN;
    case Availability::kWarn:
      return pb::RESOURCE_STATE_WARN;
    case Availability::kNa:
      return pb::RESOURCE_STATE_NOT_APPLICABLE;
    case Availability::kUndef:
      return pb::RESOURCE_STATE_UNDEFINED;
    case Availability::kStdbyUp:
      return pb::RESOURCE_STATE_STANDBY_UP;
    case Availability::kStdbyDown:
      return pb::RESOURCE_STATE_STANDBY_DOWN;
    case Availability::kUnknown:
      return pb::RESOURCE_STATE_UNKNOWN;
    case Availability::kUpWithStdbyUp:
    case Availability::kStdbyUpWithDown:
      break;  // Shown() never gives them.
  }
  return pb::RESOURCE_STATE_UNSPECIFIED;
}

pb::FrozenState FrozenToProto(absl::string_view word) {
  if (word == "frozen") return pb::FROZEN_STATE_FROZEN;
  if (word == "thawed") return pb::FROZEN_STATE_THAWED;
  if (word == "mixed") return pb::FROZEN_STATE_MIXED;
  if (word == "n/a") return pb::FROZEN_STATE_NOT_APPLICABLE;
  return pb::FROZEN_STATE_UNSPECIFIED;
}

pb::ThreadState ToProto(ThreadState state) {
  switch (state) {
    case ThreadState::kRunning:
      return pb::THREAD_STATE_RUNNING;
    case ThreadState::kStopping:
      return pb::THREAD_STATE_STOPPING;
    case ThreadState::kStopped:
      return pb::THREAD_STATE_STOPPED;
    case ThreadState::kTerminated:
      return pb::THREAD_STATE_TERMINATED;
  }
  return pb::THREAD_STATE_UNSPECIFIED;
}

pb::Event ToProto(const Event& event) {
  pb::Event out;
  out.set_id(event.id);
  out.set_reason(event.reason);
  out.set_node(event.node);
  *out.mutable_time() = ToProto(event.time);
  if (event.path.has_value()) out.set_path(event.path->ToString());
  out.set_resource_id(event.rid);
  for (const auto& [key, value] : event.data.items()) {
    (*out.mutable_attributes())[key] =
        value.is_string() ? value.get<std::string>() : DumpCompactJson(value);
  }
  return out;
}

pb::DaemonStatus DaemonToProto(const DaemonFacts& facts, const Snapshot& snapshot) {
  pb::DaemonStatus out;
  out.set_version(facts.version);
  out.set_pid(facts.pid);
  out.set_node(facts.node);
  out.set_incarnation(facts.incarnation);
  *out.mutable_start_time() = ToProto(facts.start_time);
  for (const Alert& alert : *snapshot.alerts) out.add_alerts(alert.message);
  return out;
}

pb::ClusterStatus ClusterToProto(const Snapshot& snapshot) {
  pb::ClusterStatus out;
  out.set_name(snapshot.cluster->name);
  out.set_id(snapshot.cluster->id);
  for (const std::string& node : snapshot.cluster->nodes) out.add_nodes(node);
  out.set_compatible(snapshot.compat);
  out.set_transition_count(snapshot.transition_count);
  out.set_frozen(FrozenToProto(snapshot.frozen));
  return out;
}

pb::ThreadStatus ThreadToProto(const ThreadStatus& thread, const Snapshot& snapshot) {
  pb::ThreadStatus out;
  out.set_id(thread.id);
  out.set_state(ToProto(thread.state));
  if (thread.created != absl::Time()) *out.mutable_start_time() = ToProto(thread.created);
  if (thread.configured != absl::Time()) *out.mutable_configure_time() = ToProto(thread.configured);
  out.set_restart_count(static_cast<int32_t>(thread.restart_count));
  out.set_last_error(thread.last_error);
  for (const Alert& alert : thread.alerts) out.add_alerts(alert.message);
  if (thread.id == "listener") {
    for (const ListenerAddress& address : snapshot.listener->addresses) {
      const bool is_v6 = address.addr.find(':') != std::string::npos;
      const std::string endpoint = is_v6 ? absl::StrCat("[", address.addr, "]:", address.port)
                                         : absl::StrCat(address.addr, ":", address.port);
      if (address.error.empty()) {
        out.add_endpoints(endpoint);
      } else {
        out.add_alerts(absl::StrCat(endpoint, ": ", address.error));
      }
    }
  } else if (thread.id == "scheduler" && snapshot.scheduler != nullptr) {
    out.set_running_command_count(snapshot.scheduler->running);
    out.set_delayed_task_count(static_cast<int32_t>(snapshot.scheduler->delayed_count));
    for (const DelayedTask& task : snapshot.scheduler->delayed) {
      pb::DelayedTask* delayed = out.add_delayed_tasks();
      delayed->set_action(task.action);
      delayed->set_path(task.path.ToString());
      delayed->set_rid(task.rid);
      *delayed->mutable_queue_time() = ToProto(task.queued);
      *delayed->mutable_begin_time() = ToProto(task.expire);
    }
  }
  return out;
}

pb::NodeStatus ToProto(const NodeState& node) {
  pb::NodeStatus out;
  out.set_name(node.name);
  out.set_agent_version(node.agent_version);
  out.set_compat_level(node.compat);
  out.set_environment(node.env);
  for (const auto& [name, value] : node.labels) (*out.mutable_labels())[name] = value;
  if (node.frozen_since.has_value()) *out.mutable_freeze_time() = ToProto(*node.frozen_since);
  *out.mutable_monitor() = ToProto(node.monitor);
  out.mutable_load()->set_load_15m(node.stats.load_15m);
  out.mutable_load()->set_memory_total_mib(node.stats.mem_total_mib);
  out.mutable_load()->set_memory_available_percent(node.stats.mem_avail_percent);
  out.mutable_load()->set_swap_total_mib(node.stats.swap_total_mib);
  out.mutable_load()->set_swap_available_percent(node.stats.swap_avail_percent);
  out.mutable_load()->set_score(node.stats.score);
  out.set_min_available_memory_percent(node.min_avail_mem_percent);
  out.set_min_available_swap_percent(node.min_avail_swap_percent);
  *out.mutable_update_time() = ToProto(node.updated);
  return out;
}

pb::NodeMonitor ToProto(const NodeMonitor& monitor) {
  pb::NodeMonitor out;
  out.set_status(monitor.status);
  *out.mutable_status_update_time() = ToProto(monitor.status_updated);
  out.set_global_expect(monitor.global_expect);
  if (monitor.global_expect_updated != absl::Time()) {
    *out.mutable_global_expect_update_time() = ToProto(monitor.global_expect_updated);
  }
  out.set_local_expect(monitor.local_expect);
  return out;
}

pb::InstanceMonitor ToProto(const InstanceMonitor& monitor) {
  pb::InstanceMonitor out;
  out.set_status(monitor.status);
  *out.mutable_status_update_time() = ToProto(monitor.status_updated);
  out.set_global_expect(monitor.global_expect);
  if (monitor.global_expect_updated != absl::Time()) {
    *out.mutable_global_expect_update_time() = ToProto(monitor.global_expect_updated);
  }
  out.set_local_expect(monitor.local_expect);
  out.set_leader(monitor.placement == "leader");
  for (const auto& [rid, count] : monitor.restart) (*out.mutable_restart_counts())[rid] = count;
  out.set_stonith(monitor.stonith);
  out.set_order_id(monitor.order_id);
  if (monitor.local_expect_updated != absl::Time()) {
    *out.mutable_local_expect_update_time() = ToProto(monitor.local_expect_updated);
  }
  return out;
}

pb::ObjectStatus ToProto(const ObjectState& object) {
  pb::ObjectStatus out;
  out.set_path(object.path.ToString());
  out.set_kind(object.path.kind());
  if (object.aggregate.avail.has_value()) out.set_avail(ToProto(*object.aggregate.avail));
  if (object.aggregate.overall.has_value()) out.set_overall(ToProto(*object.aggregate.overall));
  out.set_frozen(FrozenToProto(object.aggregate.frozen));
  out.set_placement(PlacementToProto(object.aggregate.placement));
  out.set_provisioned(ProvisionedToProto(object.aggregate.provisioned));
  // The newest configuration is what the nodes will agree on.
  const ObjectConfig* newest = nullptr;
  for (const auto& [node, config] : object.configs) {
    if (newest == nullptr || config.mtime > newest->mtime) newest = &config;
  }
  if (newest != nullptr) {
    for (const std::string& node : newest->scope) out.add_scope(node);
    out.set_config_checksum(newest->csum);
    *out.mutable_config_update_time() = ToProto(newest->mtime);
    out.set_config_error(newest->error);
    for (const std::string& warning : newest->warnings) out.add_config_warnings(warning);
  }
  for (const auto& [node, instance] : object.instances) {
    *out.add_instances() = InstanceToProto(node, instance);
  }
  return out;
}

}  // namespace om
