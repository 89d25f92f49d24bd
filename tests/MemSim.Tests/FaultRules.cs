namespace MemSim.Tests;

/// <summary>Failures on purpose as most tests want them.</summary>
internal static class FaultRules
{
    /// <summary>Makes the n-th allocation fail from now on, and no other.</summary>
    public static ArmedFault FailOnly(this Machine machine, long nth)
    {
        machine.FaultInjection.Clear();
        return machine.FaultInjection.Arm(FaultRule.Nth(nth));
    }
}
