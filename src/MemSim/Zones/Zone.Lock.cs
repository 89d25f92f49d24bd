using System.Runtime.CompilerServices;
using MemSim.Zones;

namespace MemSim;

/// <content>Its lock, which only machines with parallel CPUs take, and who waits under it for what is freed.</content>
public sealed partial class Zone
{
    private readonly bool _parallel;

    /// <summary>The task that compacts the zone for itself and catches what is freed; changed under the lock.</summary>
    internal PageCapture? Capture;

    /// <summary>The order it waits for; -1 while there is none.</summary>
    internal int CaptureOrder = -1;

    /// <summary>Takes the zone's lock, on a machine with parallel CPUs.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal void EnterLock()
    {
        if (_parallel)
        {
            Lock.Enter();
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal void ExitLock()
    {
        if (_parallel)
        {
            Lock.Exit();
        }
    }
}
