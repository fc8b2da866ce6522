// The blacklist: what BlacklistService of the API means, without any transport.
#ifndef OM_SERVER_SERVICE_BLACKLIST_API_H_
#define OM_SERVER_SERVICE_BLACKLIST_API_H_

#include "om/control/v1/blacklist.pb.h"
#include "server/service/context.h"

namespace om {

// THREAD: any. Errors are those the proto names.
class BlacklistApi {
 public:
  // `context` is borrowed.
  explicit BlacklistApi(const ServiceContext* context) : context_(context) {}

  absl::StatusOr<control::v1::ListEntriesResponse> ListEntries(
      const Caller& caller, const control::v1::ListEntriesRequest& request);
  void ClearEntries(const Caller& caller, const control::v1::ClearEntriesRequest& request,
                    Reply<control::v1::ClearEntriesResponse> reply);

 private:
  absl::StatusOr<control::v1::ClearEntriesResponse> Clear(const std::string& sender);

  const ServiceContext* const context_;  // Not owned.
};

}  // namespace om

#endif  // OM_SERVER_SERVICE_BLACKLIST_API_H_
