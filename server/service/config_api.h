// Configuration files: what ConfigService of the API means, without any transport.
#ifndef OM_SERVER_SERVICE_CONFIG_API_H_
#define OM_SERVER_SERVICE_CONFIG_API_H_

#include "om/control/v1/config.pb.h"
#include "server/service/context.h"

namespace om {

// THREAD: any; disks are read and written on the workers. Errors are those the proto names.
class ConfigApi {
 public:
  // `context` is borrowed. What was changed is noticed by whoever watches the files.
  explicit ConfigApi(const ServiceContext* context) : context_(context) {}

  void GetConfig(const Caller& caller, const control::v1::GetConfigRequest& request,
                 Reply<control::v1::GetConfigResponse> reply);
  void GetKeywords(const Caller& caller, const control::v1::GetKeywordsRequest& request,
                   Reply<control::v1::GetKeywordsResponse> reply);
  void UpdateConfig(const Caller& caller, const control::v1::UpdateConfigRequest& request,
                    Reply<control::v1::UpdateConfigResponse> reply);

 private:
  // Posts `work` to the workers, or answers that they are all taken.
  template <class T>
  void OnWorker(Reply<T> reply, std::function<absl::StatusOr<T>()> work);

  absl::StatusOr<control::v1::GetConfigResponse> Read(const control::v1::GetConfigRequest& request);
  absl::StatusOr<control::v1::GetKeywordsResponse> ReadKeywords(
      const control::v1::GetKeywordsRequest& request);
  absl::StatusOr<control::v1::UpdateConfigResponse> Update(
      const Caller& caller, const control::v1::UpdateConfigRequest& request);

  const ServiceContext* const context_;  // Not owned.
};

}  // namespace om

#endif  // OM_SERVER_SERVICE_CONFIG_API_H_
