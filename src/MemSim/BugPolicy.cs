namespace MemSim;

/// <summary>What happens when simulated code does what the kernel would stop it for (a double free, sleeping in interrupt context).</summary>
public enum BugPolicy
{
    /// <summary>An exception is thrown at the call.</summary>
    Throw = 0,

    /// <summary>The kernel's message goes to the log and the call goes on as well as it can.</summary>
    Log = 1,
}
