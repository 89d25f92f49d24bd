using MemSim.Statistics;

namespace MemSim.Recordings.Workloads;

/// <content>A device that has no processor of its own: it shares the host's CPU with the guest.</content>
internal sealed partial class TimeShares
{
    /// <summary>Pages of a request as large as the device takes it (254 pieces): it is sent when another begins, before the pass ends (<c>BLK_PLUG_FLUSH_SIZE</c>).</summary>
    private const int FullRequest = 254;

    private readonly HostShare? _host;
    private long _swapReads;
    private int _unsent;

    /// <summary>What was collected is sent to the device: where that shares the host's CPU with the guest, it does its part when its turn comes.</summary>
    public void SendWrites(Cpu cpu)
    {
        if (_host is null || (_isInBackground && _running is not null))
        {
            return;
        }

        Breathe(cpu);
        Send(cpu);
    }

    /// <summary>A work queue did something: time goes by, and writes end, while the others wait.</summary>
    private void SpendAsWorker(Cpu cpu)
    {
        long cost = Bill();
        Now += cost;
        if (_host?.Runs(cost, Now, _costs.Tick) == true)
        {
            ServeWrites(cpu);
        }

        EndWrites(cpu);
    }

    /// <summary>A work queue sleeps, as somebody who waits for writes does.</summary>
    private void SleepAsWorker(Cpu cpu, long nanoseconds, Func<bool>? isOver)
    {
        SpendAsWorker(cpu);
        if (_host is not null && (_host.IsWaiting || _unsent != 0))
        {
            Send(cpu);
            ServeWrites(cpu);
        }

        long until = Now + nanoseconds;
        while (Now < until && isOver?.Invoke() != true)
        {
            Now = Math.Max(Now, Math.Min(until, NextEvent(until)));
            EndWrites(cpu);
        }
    }

    /// <summary>A host with one CPU: the device's thread may have its turn, and has it while the guest waits for pages of swap.</summary>
    private void ShareHost(Cpu cpu, long nanoseconds)
    {
        long reads = _events[VmEvent.SwapReads] - _swapReads;
        _swapReads += reads;
        if (_host!.Runs(nanoseconds, Now, _costs.Tick))
        {
            ServeWrites(cpu);
        }

        if (_unsent >= FullRequest)
        {
            Send(cpu);
        }

        if (reads != 0)
        {
            if (_host.IsWaiting)
            {
                ServeWrites(cpu);
            }

            Now += reads * _costs.SwapInWait;
            _host.GuestSlept(reads * _costs.SwapInWait, Now);
        }
    }

    /// <summary>What was collected is sent: its thread takes the host's CPU, or has to wait.</summary>
    private void Send(Cpu cpu)
    {
        bool any = _unsent != 0;
        _unsent = 0;
        if (any && _host!.Wake())
        {
            ServeWrites(cpu);
        }
    }

    /// <summary>The device's thread has the host's CPU: all that was sent is written.</summary>
    private void ServeWrites(Cpu cpu)
    {
        Now += _costs.Kick;
        _host!.Served(_costs.Kick, _writes.Count - _unsent, Now);
        EndWrites(cpu);
    }
}
