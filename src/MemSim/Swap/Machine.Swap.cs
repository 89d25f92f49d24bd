namespace MemSim;

/// <content>Swap.</content>
public sealed partial class Machine
{
    private readonly Lock _swapCreation = new();
    private SwapSpace? _swap;

    /// <summary>The swap areas and what is in them, made when first asked for.</summary>
    public SwapSpace Swap => Volatile.Read(ref _swap) ?? MakeSwap();

    /// <summary>Swap if it was ever used.</summary>
    internal SwapSpace? SwapIfUsed => _swap;

    private SwapSpace MakeSwap()
    {
        ThrowIfDisposed();
        lock (_swapCreation)
        {
            if (_swap is null)
            {
                SwapSpace swap = new(this);
                ShmemSwap = swap.SharedMemory;
                _swap = swap;
            }

            return _swap;
        }
    }
}
