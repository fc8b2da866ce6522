// Which resources an action is about, and in which order they are worked on.
#ifndef OM_SERVER_CRM_DRIVERS_SELECTION_H_
#define OM_SERVER_CRM_DRIVERS_SELECTION_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "server/crm/drivers/driver.h"

namespace om {

// What --rid, --tags and --subsets ask for. A resource must match each of them that is given.
struct Selection {
  std::vector<std::string> rids;               // Rids, groups ("fs") or sets ("app:g1").
  std::vector<std::vector<std::string>> tags;  // One of these, each of which is all of its tags.
  std::vector<std::string> subsets;            // Names of subsets, or of sets.

  bool limited() const { return !rids.empty() || !tags.empty() || !subsets.empty(); }
  bool Matches(const ResourceSettings& resource) const;
  // The options as they were given.
  std::string ToString() const;
};

// Resources that are worked on together, in starting order.
struct ResourceSet {
  std::string name;  // "app" or "app:g1".
  bool parallel = false;
  std::vector<const ResourceSettings*> resources;  // Not owned: the instance's.

  // Whether its resources are to be worked on at the same time.
  bool concurrent() const { return parallel && resources.size() > 1; }
};

// Groups in the order in which they are started.
absl::Span<const absl::string_view> StartedGroups();

// The name of the set that a resource is in.
std::string SetNameOf(const ResourceSettings& resource);

bool HasTag(const ResourceSettings& resource, absl::string_view tag);

// Whether actions work on the resource at all: not disabled, not of a container, not marked so.
bool ActionsApply(const Instance& instance, const ResourceSettings& resource);

// The sets of these groups, in starting order, with what is selected in each. NOT_FOUND if a
// selection matches nothing at all.
absl::StatusOr<std::vector<ResourceSet>> SelectSets(const Instance& instance,
                                                    const Selection& selection,
                                                    absl::Span<const absl::string_view> groups);

// The other way round, sets and resources.
void ReverseSets(std::vector<ResourceSet>* sets);

}  // namespace om

#endif  // OM_SERVER_CRM_DRIVERS_SELECTION_H_
